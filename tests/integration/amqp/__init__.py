"""The second door with a real RabbitMQ."""
