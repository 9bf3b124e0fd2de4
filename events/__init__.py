"""What can be said, decided and stored: deciders, envelopes, codec, event store.

Read `ids` (the words), `envelope` (what travels), `domain` (what a domain supplies), `deciding` (how commands become events),
then `store` (how commits are kept). `comments/` is the built-in domain. Everything but `dynamo*` is pure.
"""
