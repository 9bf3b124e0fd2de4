"""The event and the row of the peers that are task queues: written in one transaction, once a command."""

SCHEMA = """
CREATE TABLE IF NOT EXISTS events (stream text NOT NULL, version bigint NOT NULL, body text NOT NULL, PRIMARY KEY (stream, version));
CREATE TABLE IF NOT EXISTS comments (comment_id text PRIMARY KEY, picture_id text NOT NULL, author text NOT NULL, text text NOT NULL,
    version bigint NOT NULL, created_at float8 NOT NULL);
"""
COLUMNS = ("comment_id", "picture_id", "author", "text", "created_at")
