"""Generations and parked streams."""

import sqlalchemy as sa
from alembic import op

from runtime.errors import Fatal

revision = "control_0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "generations",
        sa.Column("projector", sa.Text, primary_key=True),
        sa.Column("current", sa.Integer, nullable=False),
        sa.Column("flipped_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
        schema="headrace",
    )
    op.create_table(
        "parked",
        sa.Column("generation", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("projector", sa.Text(collation="C"), primary_key=True, comment="the projection's name"),
        sa.Column("stream", sa.Text(collation="C"), primary_key=True),
        sa.Column("reason", sa.Text, nullable=False, comment="one word, counted"),
        sa.Column("detail", sa.Text, nullable=False, comment="one sentence, for people"),
        sa.Column("first_version", sa.BigInteger, nullable=False, comment="the version that could not be applied"),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
        schema="headrace",
    )
    op.execute("INSERT INTO headrace.generations (projector, current) VALUES ('rds', 1)")
    op.execute("CREATE SCHEMA rds_1")


def downgrade() -> None:
    raise Fatal("the event store is the truth: drop the schemas and rebuild")
