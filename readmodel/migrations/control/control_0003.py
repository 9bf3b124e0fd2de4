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
        sa.Column("last_version", sa.BigInteger, comment="the highest version spoken of while it is parked"),
        schema="headrace",
    )
    op.execute("UPDATE headrace.parked SET last_version = first_version")
    op.alter_column("parked", "last_version", nullable=False, schema="headrace")
    op.add_column(
        "parked",
        sa.Column("discarded_at", sa.DateTime(timezone=True), comment="given up by an operator: counted, no longer waiting for one"),
        schema="headrace",
    )
    op.add_column(
        "generations",
        sa.Column("newest", sa.Integer, comment="the highest number ever given: none is given twice"),
        schema="headrace",
    )
    op.execute("UPDATE headrace.generations SET newest = current")
    op.execute("INSERT INTO headrace.generations (projector, current, newest) VALUES ('cache', 1, 1)")
    op.alter_column("generations", "newest", nullable=False, schema="headrace")
    op.create_table(
        "fed",
        sa.Column("projector", sa.Text, primary_key=True),
        sa.Column("generation", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
        sa.Column("complete_at", sa.DateTime(timezone=True), comment="when it was found to hold all; null: it is being built"),
        schema="headrace",
    )
    op.execute("INSERT INTO headrace.fed (projector, generation, complete_at) SELECT projector, current, now() FROM headrace.generations")
    # Transactions commit in another order than they begin: whoever reads on reads only what is older than every writer under way.
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
    # Up to where changes are no longer kept, and when the last of those were written.
    op.create_table(
        "forgotten",
        sa.Column("what", sa.Text, primary_key=True),
        sa.Column("transaction", sa.Text, nullable=False),
        sa.Column("number", sa.BigInteger, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        schema="headrace",
    )
    op.execute("ALTER TABLE headrace.forgotten ALTER COLUMN transaction TYPE xid8 USING transaction::xid8")
    op.execute("INSERT INTO headrace.forgotten VALUES ('changes', '0', 0, 'epoch')")


def downgrade() -> None:
    raise Fatal("the event store is the truth: drop the schemas and rebuild")
