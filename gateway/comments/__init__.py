"""The built-in domain's own routes: `commands` (friendly names for three commands) and `queries`. Nothing else here names a comment."""
