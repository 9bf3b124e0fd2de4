"""The read model: what others rely on: JSON shapes, stored formats."""
