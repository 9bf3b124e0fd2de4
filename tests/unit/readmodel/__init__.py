"""The read model: its pure parts, by example and by property."""
