"""The built-in read model, comments on pictures: `tables`, `projection` (pure), `domain` (what plugs into the registry),
`queries` (what is asked of PostgreSQL) and `cached` (what Redis keeps of it).
"""
