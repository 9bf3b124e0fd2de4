"""Positions, comments and pictures."""

import sqlalchemy as sa
from alembic import op

from runtime.errors import Fatal

revision = "generation_0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "positions",
        sa.Column("projector", sa.Text(collation="C"), primary_key=True, comment="a projection without a home table, or `cache`"),
        sa.Column("stream", sa.Text(collation="C"), primary_key=True),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("commit_first", sa.BigInteger, nullable=False),
        sa.Column("head_id", sa.Text, nullable=False),
    )
    op.create_table(
        "comments",
        sa.Column("stream", sa.Text(collation="C"), primary_key=True),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("commit_first", sa.BigInteger, nullable=False),
        sa.Column("head_id", sa.Text, nullable=False),
        sa.Column("comment_id", sa.Text(collation="C"), nullable=False),
        sa.Column("picture_id", sa.Text(collation="C"), nullable=False),
        sa.Column("author", sa.Text, nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("deleted", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("correlation_id", sa.Text, nullable=False),
    )
    op.create_index("comments_of_picture", "comments", ["picture_id", "created_at", "comment_id"], postgresql_where=sa.text("NOT deleted"))
    op.create_table(
        "pictures",
        sa.Column("picture_id", sa.Text(collation="C"), primary_key=True),
        sa.Column("comment_count", sa.BigInteger, nullable=False, server_default=sa.text("0")),
        sa.Column("last_commented_at", sa.DateTime(timezone=True), comment="of the latest creation ever, deleted or not"),
        sa.Column(
            "revision", sa.BigInteger, nullable=False, server_default=sa.text("0"), comment="rises with every change of the picture's list"
        ),
    )


def downgrade() -> None:
    raise Fatal("the event store is the truth: drop the generation and rebuild it")
