"""How far each stream was published to RabbitMQ."""

import sqlalchemy as sa
from alembic import op

from runtime.errors import Fatal

revision = "control_0002"
down_revision = "control_0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "published",
        sa.Column("stream", sa.Text(collation="C"), primary_key=True),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("commit_first", sa.BigInteger, nullable=False),
        sa.Column("head_id", sa.Text, nullable=False),
        schema="headrace",
    )


def downgrade() -> None:
    raise Fatal("the event store is the truth: drop the schemas and rebuild")
