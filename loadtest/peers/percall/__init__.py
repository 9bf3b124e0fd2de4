"""The one-call-per-command way: every command is its own SQS message, query, conditional put, publish, transaction and delete.

`producer` (the gateway's half), `worker`, `relay`, `projector`; `setup` makes the queues, the topic and the tables.
"""
