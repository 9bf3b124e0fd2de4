"""`headrace demo`: real commands through every hop, then proof that every read equals the fold of the event store.

Read `script` (what is posted), `caller` (how), `meter` (what it cost), `proof` (what must hold), `command` (the order of it all).
"""
