"""`headrace bench`: Headrace and what people would pick instead, doing the same job in the same run, on the same servers.

Read `subjects` (who takes part), `turns` (one subject's turn), `rounds` (all turns, interleaved), `ceilings` (each hop alone), `tables`
(what is printed). Peers are programs of their own in `loadtest/peers`.
"""
