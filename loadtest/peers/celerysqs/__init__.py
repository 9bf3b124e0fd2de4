"""Celery on SQS: a task a command, which writes the event and the row in one transaction, guarded by the command's id.

After its documentation's pages "Using Amazon SQS" (predefined queues, long polling, no remote control), "Optimizing" (prefetch for short
tasks, late acknowledgement with idempotent tasks) and "Tasks" (ignore results that nobody reads).
"""
