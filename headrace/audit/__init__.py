"""`headrace audit`: what is stored held against what must hold, read only.

Read `streams` (I2 and I3, pure), `views` (I4, I6 and I7 against PostgreSQL and Redis), `checking` (one pass over all), `command`.
"""
