"""A generation of the read model, built from the event store while the old one serves.

Read `assembling` (pages into whole streams, pure), `folding` (streams into rows and sums, pure), `loading` (rows into tables), then
`comparing` (two generations, in one snapshot). What leads through all of it is `headrace.rebuild`.
"""
