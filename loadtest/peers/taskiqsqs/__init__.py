"""taskiq on SQS (taskiq-aio-sqs): a task a command, which writes the event and the row in one transaction, guarded by the id.

After the page "CLI" of taskiq's documentation (workers, acknowledgement when executed, prefetch) and the sections "Configuration" and
"Message Batching" of taskiq-aio-sqs's: receives of ten, long polling. Its batching is off: with it a submission returns before SQS has it.
"""
