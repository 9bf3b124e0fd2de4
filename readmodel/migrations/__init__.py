"""Alembic's scripts, run by `readmodel.schema`: `control/` for the schema `headrace`, `generation/` for each generation's own.

Both share `env.py`. Each schema has its own `alembic_version`. To change the schema add a script; never edit one that ran.
"""
