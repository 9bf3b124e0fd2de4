"""Scripts for the schema of one generation; they name no schema, the connection's `search_path` does."""
