"""What runs: the command worker, the relay, the projectors, and the consumer loop they share.

Read `consumer` (how messages are received, kept, finished), then `rounds` (load, decide, append) and `shard_reader`. Each role
has a `main(settings) -> int` in `commands`, `relay`, `projector_rds`, `projector_cache`, `projector_amqp`: its one composition root.
"""
