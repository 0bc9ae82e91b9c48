"""The schema of the database, as a line of changes that each start of a CAS brings to its end.

A change of a table in :mod:`bannock.cas.schema` needs a module in ``versions`` that makes it (``upgrade``), named
after its number; its ``down_revision`` is the number before. A module that was released is never changed again.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import inspect, select

from bannock.cas.schema import SCHEMA_VERSION, schema
from bannock.errors import InputError

if TYPE_CHECKING:
    from sqlalchemy import Connection

__all__ = ["HEAD", "is_new", "migrate", "revision"]

#: The newest schema.
HEAD: Final = "head"
_NUMBER: Final = re.compile(r"\d{4}")


def is_new(connection: Connection) -> bool:
    """Whether there is nothing of a CAS in a database."""
    return not inspect(connection).has_table(schema.name)


def revision(connection: Connection) -> str:
    """Give the number of the schema that a database has."""
    return str(MigrationContext.configure(connection).get_current_revision())


def migrate(connection: Connection, name: str, *, to: str = HEAD) -> None:
    """Bring the tables of a database to what this program uses, within the transaction that is open.

    Args:
        connection: on which the transaction is.
        name: of the database, for messages.
        to: the number of a schema; one that is older than the tables are is refused.

    Raises:
        InputError: a newer program has changed them.
    """
    if not is_new(connection):
        version = connection.execute(select(schema.c.version)).scalar()
        if version not in range(1, SCHEMA_VERSION + 1):
            raise InputError(f"{name} has schema version {version}, this program knows {SCHEMA_VERSION}")
    if to != HEAD and not _NUMBER.fullmatch(to):
        raise InputError(f"{to[:80]!r} is not the number of a schema")
    # The layer of images has modules without their source.
    script = ScriptDirectory(str(Path(__file__).parent), sourceless=__file__.endswith(".pyc"))
    options = {"fn": lambda revision, _: script._upgrade_revs(to, revision)}  # noqa: SLF001 - as alembic documents it
    context = MigrationContext.configure(connection, opts=options)
    try:
        with Operations.context(context):
            context.run_migrations()
    except CommandError as error:
        found = ", ".join(context.get_current_heads())
        known = ", ".join(script.get_heads())
        raise InputError(f"{name} has schema version {found}, this program knows {known}") from error
