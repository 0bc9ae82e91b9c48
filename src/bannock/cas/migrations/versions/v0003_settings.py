"""The table of what a CAS keeps of itself beside its keys: its owner."""

from __future__ import annotations

from typing import Final

from alembic import op
from sqlalchemy import Column, LargeBinary, String

__all__ = ["down_revision", "revision", "upgrade"]

revision: Final = "0003"
down_revision: Final = "0002"


def upgrade() -> None:
    """Make the table; programs of before that do not know it do not know of owners."""
    op.create_table(
        "settings",
        Column("name", String(64), primary_key=True),
        Column("sealed", LargeBinary, nullable=False),
    )
