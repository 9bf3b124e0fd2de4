"""Open-loop load, latency histograms, report; peers to compare with.

`bench` is `headrace bench`: Headrace beside what people would pick instead, `peers` the programs it is held against.
"""
