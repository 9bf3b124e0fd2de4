"""The read model: against a real PostgreSQL and Redis."""
