"""How Alembic runs here: on the connection it is handed, in the transaction that is open on it."""

from alembic import context

_attributes = context.config.attributes
context.configure(connection=_attributes["connection"], version_table_schema=_attributes["schema"], transactional_ddl=True)
context.run_migrations()
