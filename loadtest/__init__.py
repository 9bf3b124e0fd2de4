"""Open-loop load, latency histograms, report; peers to compare with.

`run` is `headrace load`; `hot`, `cold` and `frozen` are loads of their own on a live stack (docs/figures.md), `ground` and `flood` what the
last two stand on. `bench` is `headrace bench`: Headrace beside what people would pick instead, `peers` the programs it is held against.
"""
