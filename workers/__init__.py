"""What runs: the command worker, the relay, the projectors, and the consumer loop they share.

Read `consumer` (how messages are received, kept, finished), then `command_worker` (load, decide, append) and `relay`. Each role
has a `main(settings) -> int` in `commands`, `relay_main`, `projector_rds`, `projector_cache`: its one composition root.
"""
