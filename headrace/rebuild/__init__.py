"""`headrace rebuild`: a new generation beside the old one, live, then the switch; back again; the old one dropped.

Read `command`, then `readmodel_rebuild` (the steps of PostgreSQL's, in order) and `cache_rebuild` (Redis's). `own_queue` and `tail` are
what the former hears while it reads, `kept` is what becomes of the other generation afterwards.
"""
