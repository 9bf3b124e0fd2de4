"""Discarded parks, generations that are fed beside the current one, and the feed of projected changes."""

import sqlalchemy as sa
from alembic import op

from runtime.errors import Fatal

revision = "control_0003"
down_revision = "control_0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "parked",
        sa.Column("discarded_at", sa.DateTime(timezone=True), comment="given up by an operator: counted, no longer waiting for one"),
        schema="headrace",
    )
    op.create_table(
        "fed",
        sa.Column("projector", sa.Text, primary_key=True),
        sa.Column("generation", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
        schema="headrace",
    )
    op.execute("INSERT INTO headrace.fed (projector, generation) SELECT projector, current FROM headrace.generations")
    op.execute("INSERT INTO headrace.generations (projector, current) VALUES ('cache', 1)")
    op.execute("INSERT INTO headrace.fed (projector, generation) VALUES ('cache', 1)")
    # Transactions commit in another order than they begin: whoever reads on reads only what is older than every transaction under way.
    op.execute(
        """
        CREATE TABLE headrace.changes (
            transaction xid8 NOT NULL DEFAULT pg_current_xact_id(),
            number bigint GENERATED ALWAYS AS IDENTITY,
            stream text COLLATE "C" NOT NULL,
            first_version bigint NOT NULL,
            last_version bigint NOT NULL,
            subject text COLLATE "C",
            events text NOT NULL,
            at timestamptz NOT NULL DEFAULT clock_timestamp(),
            PRIMARY KEY (transaction, number)
        )
        """
    )
    op.execute("CREATE INDEX changes_at ON headrace.changes (at)")


def downgrade() -> None:
    raise Fatal("the event store is the truth: drop the schemas and rebuild")
