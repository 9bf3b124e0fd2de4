"""How cost grows with the work: `python -m loadtest.growth AXIS --state DIR` on a live stack, one axis a run.
`workers` brings stacks of its own up.

Read `axes` first (pure: which turns an axis is made of, and the commands of each), then `turns` (one turn, measured), `plot` (pure: the
picture of an axis), `command` last.
"""
