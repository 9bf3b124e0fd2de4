"""The stack on this machine: real servers without Docker, one process each, all gone when the supervisor goes.

Read `servers.py` first (the library face, also for tests), then `program.py` (what a server or a role is), `process.py`
(one life of it), `keeper.py` (its next lives), `stack.py` (all of them, in order) and `state.py` (what is
written down).
"""
