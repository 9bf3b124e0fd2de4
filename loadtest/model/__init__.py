"""What a rate takes beyond one machine: `python -m loadtest.model`. Pure arithmetic over measured costs and AWS's published quotas.

Read `facts` first (what goes in: `measured.json`, `quotas.json`), then `hops` (calls, bytes, processes of each hop at a rate), `limits`
(which quota is met first), `tables` (Markdown). Whether the arithmetic holds where it can be tried is the simulation's part.
"""
