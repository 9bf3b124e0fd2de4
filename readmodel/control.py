"""Tables that belong to no projection: in `headrace` beside all generations, and `positions` in each."""

from typing import Final

from sqlalchemy import BigInteger, Column, DateTime, Integer, MetaData, Table, Text, func

CONTROL_SCHEMA: Final = "headrace"
READ_MODEL: Final = "rds"
"""The projector whose generation queries read."""
CACHE: Final = "cache"
"""The projector under whose name `positions` says how far Redis is no older than PostgreSQL."""
AMQP: Final = "amqp"
"""The projector that publishes events to RabbitMQ. What was sent is sent, whatever generation queries read: it stands in `published`."""
BESIDE: Final = 0
"""In place of a generation, for what belongs to none."""

METADATA: Final = MetaData()

GENERATIONS: Final = Table(
    "generations",
    METADATA,
    Column("projector", Text, primary_key=True),
    Column("current", Integer, nullable=False),
    Column("flipped_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("newest", Integer, nullable=False, comment="the highest number ever given: none is given twice"),
    schema=CONTROL_SCHEMA,
)

PARKED: Final = Table(
    "parked",
    METADATA,
    Column("generation", Integer, primary_key=True),
    Column("projector", Text(collation="C"), primary_key=True, comment="the projection's name"),
    Column("stream", Text(collation="C"), primary_key=True),
    Column("reason", Text, nullable=False, comment="one word, counted"),
    Column("detail", Text, nullable=False, comment="one sentence, for people"),
    Column("first_version", BigInteger, nullable=False, comment="the version that could not be applied"),
    Column("at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("last_version", BigInteger, nullable=False, comment="the highest version spoken of while it is parked"),
    Column("discarded_at", DateTime(timezone=True), comment="given up by an operator: counted, no longer waiting for one"),
    schema=CONTROL_SCHEMA,
)

FED: Final = Table(
    "fed",
    METADATA,
    Column("projector", Text, primary_key=True),
    Column("generation", Integer, primary_key=True),
    Column("since", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("complete_at", DateTime(timezone=True), comment="when it was found to hold all; null: it is being built"),
    schema=CONTROL_SCHEMA,
)

PUBLISHED: Final = Table(
    "published",
    METADATA,
    Column("stream", Text(collation="C"), primary_key=True),
    Column("version", BigInteger, nullable=False),
    Column("commit_first", BigInteger, nullable=False),
    Column("head_id", Text, nullable=False),
    schema=CONTROL_SCHEMA,
)

POSITIONS: Final = Table(
    "positions",
    METADATA,
    Column("projector", Text(collation="C"), primary_key=True, comment="a projection without a home table, or `cache`"),
    Column("stream", Text(collation="C"), primary_key=True),
    Column("version", BigInteger, nullable=False),
    Column("commit_first", BigInteger, nullable=False),
    Column("head_id", Text, nullable=False),
)


def schema_of(generation: int) -> str:
    """The PostgreSQL schema of one generation of the read model."""
    return f"rds_{generation}"
