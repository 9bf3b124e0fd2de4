"""Tests: `unit` is pure and fast; `contract` holds every adapter to its port; `integration` runs our code against real servers;
`acceptance` runs the whole stack as processes; `drills` kill and freeze. `support` is what they share.
"""
