"""The counters by which an older copy of the database is told from the newest."""

from __future__ import annotations

from typing import Final

from alembic import op
from sqlalchemy import Column, LargeBinary, String

__all__ = ["down_revision", "revision", "upgrade"]

revision: Final = "0002"
down_revision: Final = "0001"


def upgrade() -> None:
    """Make their table, and tell programs of before that they cannot use the database any more."""
    op.create_table(
        "counters",
        Column("name", String(96), primary_key=True),
        Column("sealed", LargeBinary, nullable=False),
    )
    op.execute("DELETE FROM schema_version")
    op.execute("INSERT INTO schema_version (version) VALUES (2)")
