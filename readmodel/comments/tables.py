"""The tables of the built-in read model. `readmodel/migrations/generation` builds them; a test holds the two together."""

from typing import Final

from sqlalchemy import BigInteger, Boolean, Column, DateTime, Index, MetaData, Table, Text, false, text

from readmodel.projection import home_columns

METADATA: Final = MetaData()

COMMENTS: Final = Table(
    "comments",
    METADATA,
    *home_columns(),
    Column("comment_id", Text(collation="C"), nullable=False),
    Column("picture_id", Text(collation="C"), nullable=False),
    Column("author", Text, nullable=False),
    Column("text", Text, nullable=False),
    Column("deleted", Boolean, nullable=False, server_default=false()),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("updated_at", DateTime(timezone=True), nullable=False),
    Column("correlation_id", Text, nullable=False),
    Index("comments_of_picture", "picture_id", "created_at", "comment_id", postgresql_where=text("NOT deleted")),
)

PICTURES: Final = Table(
    "pictures",
    METADATA,
    Column("picture_id", Text(collation="C"), primary_key=True),
    Column("comment_count", BigInteger, nullable=False, server_default=text("0")),
    Column("last_commented_at", DateTime(timezone=True), comment="of the latest creation ever, deleted or not"),
    Column("revision", BigInteger, nullable=False, server_default=text("0"), comment="rises with every change of the picture's list"),
)
