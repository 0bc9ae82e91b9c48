"""Migrations: a database of every version becomes one of this version, with all that is in it."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine

from bannock.cas import Cas
from bannock.cas.records import FspfState
from bannock.cas.schema import METADATA
from bannock.errors import InputError
from bannock.values import FspfTag
from tests.unit.cas.documents import document

if TYPE_CHECKING:
    from bannock.cas import CasConfig
    from bannock.values import KeyHash

_DATABASES = Path(__file__).parent / "databases"
_MAIN = f"fspf_path: /main.fspf\n    fspf_key: {'aa' * 32}\n    fspf_tag: {'74' * 16}"
_KEY_HASH = "7f9fbfd1df267fadb66d342397760de6a9fc259b2b7cf4fdf05184f26c857b0d"


def _restore(config: CasConfig, version: str, *statements: str) -> None:
    """Make the database of an older program: two versions of one session, a state of its volume, audit entries."""
    config.database.parent.mkdir(mode=0o700)
    shutil.copyfile(_DATABASES / f"{version}.key", config.master_key)
    config.master_key.chmod(0o600)
    with closing(sqlite3.connect(config.database)) as connection, connection:
        connection.executescript((_DATABASES / f"{version}.sql").read_text(encoding="ascii"))
        for statement in statements:
            connection.execute(statement)


def test_a_database_from_before_migrations_goes_on(config: CasConfig, alice: KeyHash) -> None:
    """Keys, sessions, values, states and the audit log are there, and are written to."""
    _restore(config, "0001")
    with Cas(config) as cas:
        assert cas.key_hash.value.hex() == _KEY_HASH
        stored = cas.sessions.read("demo", alice)
        assert stored.generation == 2
        with cas.store.reading() as view:
            assert view.volume("demo", "output") == FspfState(tag=FspfTag(b"t" * 16), since=1)
            assert view.fspf("demo", "app") == FspfState(tag=FspfTag(b"t" * 16), since=1)
        assert cas.reading.values("demo")["greeting"] == "hello-everybody"
        cas.sessions.post(document(predecessor=stored.digest, variable="three"), alice)
        told = [entry.event for entry in cas.audit_log()]
        events = [event for event in told if event not in ("audit_log_attestation_report", "session_read")]
        assert events == [
            "cas_started",
            "session_created",
            "session_updated",
            "cas_exited",
            "cas_started",
            "session_updated",
        ]
    with Cas(config) as cas:
        assert cas.sessions.read("demo", alice).generation == 3


def test_one_that_has_no_main_protection_files_yet_goes_on(config: CasConfig, alice: KeyHash) -> None:
    """The table that came last is made where it is missing."""
    _restore(config, "0001", "DROP TABLE fspfs")
    with Cas(config) as cas:
        digest = cas.sessions.read("demo", alice).digest
        cas.sessions.post(document("other", fspf=_MAIN), alice)
        cas.sessions.post(document(predecessor=digest, fspf=_MAIN), alice)
        with cas.store.reading() as view:
            assert view.fspf("demo", "app") == FspfState(tag=FspfTag(b"t" * 16), since=3)


def test_programs_from_before_refuse_it(config: CasConfig) -> None:
    """What they look at says that they do not know the database any more."""
    _restore(config, "0001")
    Cas(config).close()
    with closing(sqlite3.connect(config.database)) as connection:
        assert connection.execute("SELECT version FROM schema_version").fetchall() == [(2,)]


def test_a_schema_of_an_unknown_program_from_before_is_refused(config: CasConfig) -> None:
    """Nothing is changed in it."""
    _restore(config, "0001", "UPDATE schema_version SET version = 7")
    with pytest.raises(InputError, match="has schema version 7, this program knows 2"):
        Cas(config)
    with closing(sqlite3.connect(config.database)) as connection:
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    assert "counters" not in tables


@pytest.mark.parametrize("restored", [False, True])
def test_migrations_make_what_the_program_uses(config: CasConfig, *, restored: bool) -> None:
    """A change of a table without a migration is found here."""
    if restored:
        _restore(config, "0001")
    Cas(config).close()
    engine = create_engine(f"sqlite:///{config.database}")
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), METADATA) == []
    engine.dispose()
