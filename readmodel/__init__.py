"""What can be asked: projections, PostgreSQL schema, cache, queries.

Read `projection` (an event becomes rows), `verdicts` (what a projector does with a commit) and `applying` (how a batch gets
into PostgreSQL), then `reads` (how a query is answered) with `cache` beside it. `comments/` is the built-in read model.
Pure: `projection`, `verdicts`, `planning`, `folding`, `pages`, `entries`, `canonical` and `comments/projection`.
"""
