"""The table of those who may take over the database."""

from __future__ import annotations

from typing import Final

from alembic import op
from sqlalchemy import Column, LargeBinary

__all__ = ["down_revision", "revision", "upgrade"]

revision: Final = "0005"
down_revision: Final = "0004"


def upgrade() -> None:
    """Make the table; a program of before would change the keys without it, so none is let in."""
    op.create_table(
        "slots",
        Column("slot", LargeBinary(32), primary_key=True),
        Column("key", LargeBinary(32), nullable=False),
        Column("wrapped", LargeBinary, nullable=False),
    )
