"""The whole way of a command in virtual time: `python -m loadtest.simulation --rate R`. Discrete events, one seed, no clock and no sockets.

The gateway's buffer and pacing and the relay's pacing are the roles' own code; queues, stores and CPU are modelled. Read `engine` first
(time and who has to wait for a core), then `queue` (message groups), `roles` (what each process does), `world` (put together, measured).
What goes in is `latencies.json` and the model's `measured.json`.
"""
