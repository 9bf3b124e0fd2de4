"""The command line: what brings the stack up, looks into it and takes it down.

Read `cli.py` first (the table of commands), then `up.py`, then `local/` (the servers and processes of a stack on this
machine). A command is one module with `arguments(parser)` and `main(arguments) -> exit code`.
"""
