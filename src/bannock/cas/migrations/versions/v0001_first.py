"""The tables that the first CAS had; a database of before migrations lacks at most one of them."""

from __future__ import annotations

from typing import Final

from alembic import op
from sqlalchemy import BigInteger, Column, Integer, LargeBinary, String

__all__ = ["down_revision", "revision", "upgrade"]

revision: Final = "0001"
down_revision: Final = None

#: SQLite takes numbers of 64 bits under either name, and finds rows by it faster under this one.
_Number: Final = BigInteger().with_variant(Integer, "sqlite")


def upgrade() -> None:
    """Make the tables that are not there."""
    op.create_table("schema_version", Column("version", Integer, primary_key=True), if_not_exists=True)
    op.create_table("keys", Column("name", String(32), primary_key=True), _sealed(), if_not_exists=True)
    op.create_table(
        "sessions",
        Column("session", LargeBinary(32), primary_key=True),
        Column("generation", Integer, primary_key=True, autoincrement=False),
        Column("digest", LargeBinary(32), nullable=False),
        _sealed(),
        if_not_exists=True,
    )
    op.create_index("sessions_by_digest", "sessions", ["session", "digest"], if_not_exists=True)
    op.create_table(
        "secret_values", Column("session", LargeBinary(32), primary_key=True), _sealed(), if_not_exists=True
    )
    for table, name in (("volumes", "volume"), ("fspfs", "service")):
        op.create_table(
            table,
            Column("session", LargeBinary(32), primary_key=True),
            Column(name, LargeBinary(32), primary_key=True),
            _sealed(),
            sqlite_with_rowid=False,
            if_not_exists=True,
        )
    op.create_table(
        "audit", Column("sequence", _Number, primary_key=True, autoincrement=False), _sealed(), if_not_exists=True
    )
    op.create_table("audit_head", Column("id", Integer, primary_key=True), _sealed(), if_not_exists=True)


def _sealed() -> Column[bytes]:
    return Column("sealed", LargeBinary, nullable=False)
