"""`headrace audit`: what is stored held against what must hold, read only, in bounded memory.

Read `checking` (the steps), `stored` (I2 and I3, pure), `judging` (I5 and I6 of one stream, pure); then how they are fed: `spool` (what
is put aside on disk), `reading` (the store), `standing` (PostgreSQL), `arrivals` (I4), `rows` and `sums` (I5 and I6), `cached` (I7).
"""
