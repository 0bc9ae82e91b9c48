"""The tables of evidence that services were let in by."""

from __future__ import annotations

from typing import Final

from alembic import op
from sqlalchemy import Column, LargeBinary

__all__ = ["down_revision", "revision", "upgrade"]

revision: Final = "0007"
down_revision: Final = "0006"


def upgrade() -> None:
    """Make the tables; a program of before would change the keys without them, so none is let in."""
    for table, row in (("quotes", "quote"), ("attestations", "attestation")):
        op.create_table(
            table,
            Column(row, LargeBinary(32), primary_key=True),
            Column("sealed", LargeBinary, nullable=False),
        )
