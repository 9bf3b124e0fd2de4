"""pyeventsourcing on PostgreSQL: an application that saves aggregates, a projection runner that keeps a view with its tracking.

After its documentation's pages "projection" (a view that records tracking in the same transaction) and "persistence" (the PostgreSQL
module: pool size and overflow for many threads, single-row tracking).
"""
