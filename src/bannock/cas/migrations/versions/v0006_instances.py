"""The table of enclaves that have had a configuration."""

from __future__ import annotations

from typing import Final

from alembic import op
from sqlalchemy import Column, LargeBinary

__all__ = ["down_revision", "revision", "upgrade"]

revision: Final = "0006"
down_revision: Final = "0005"


def upgrade() -> None:
    """Make the table; a program of before would give used enclaves a configuration, so none is let in."""
    op.create_table(
        "instances",
        Column("instance", LargeBinary(32), primary_key=True),
        Column("sealed", LargeBinary, nullable=False),
        sqlite_with_rowid=False,
    )
