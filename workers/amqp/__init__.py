"""Events out to RabbitMQ: what the projector "amqp" is made of.

Read `messages` (an event as the message that is sent; pure), `exchange` (one connection and one channel, kept and lost), `publishing`
(commits, in version order, each sent before its position moves). The process is `workers.projector_amqp`.
"""
