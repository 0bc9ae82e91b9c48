"""The table of what was used of one-time passwords: each is good once, whichever process of a CAS it comes to."""

from __future__ import annotations

from typing import Final

from alembic import op
from sqlalchemy import Column, LargeBinary

__all__ = ["down_revision", "revision", "upgrade"]

revision: Final = "0004"
down_revision: Final = "0003"


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "one_time_passwords",
        Column("secret", LargeBinary(32), primary_key=True),
        Column("sealed", LargeBinary, nullable=False),
        sqlite_with_rowid=False,
    )
