"""The second door: commands out of RabbitMQ. Off and invisible while no HEADRACE_AMQP_URL is set.

Read `messages` (what a message must be; pure), then `ingress` (taken in order, acknowledged once SQS has the command), `replies` (receipts
for those who asked for one), and `broker` and `publishing`,
which alone know the library.
"""
