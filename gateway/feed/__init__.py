"""The live feed, `GET /events`: what the projector "rds" made visible, as server-sent events; the database is read once for all."""
