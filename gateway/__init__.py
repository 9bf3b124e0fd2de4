"""What callers see: commands and queries over HTTP, one API with no notion of either.

Read `app` (the routing table), then follow a command: `requests` and `strict_json` (is it well formed), `identity` (whose is it),
`preparing` (what is it), `claims`, `parcelling` and `sender` (how it travels; under how many partitions: `following`), `outcomes` and
`receipts` (what became of it).
`composition` wires it, `main` runs it. Only `comments/` knows the built-in domain.
`client`, `session` and `calling/` are the other side: what a backend service in Python calls a gateway with.
"""
