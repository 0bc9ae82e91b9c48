"""Backup and restore: everything comes back, on either database, and nothing else does."""

from __future__ import annotations

import dataclasses
import shutil
import threading
from typing import TYPE_CHECKING, Any

import pytest

from bannock.cas import Cas, CasConfig
from bannock.cas.master_key import MasterKeyFile, Passphrase
from bannock.cas.restore import restore
from bannock.cas.schema import METADATA
from bannock.cas.store import Store
from bannock.cli import bannock
from bannock.errors import InputError, IntegrityError, RollbackError
from bannock.values import KeyHash
from tests.integration.cas.databases import execute, postgresql_place
from tests.unit.cas.documents import document

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.integration.shield.postgresql import Server

_ALICE = KeyHash(b"a" * 32)
_MAIN = f"fspf_path: /main.fspf\n    fspf_key: {'aa' * 32}\n    fspf_tag: {'74' * 16}"


@pytest.fixture(params=["sqlite", "postgresql"])
def other(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[CasConfig]:
    """Another machine, with nothing on it."""
    if request.param == "sqlite":
        yield CasConfig.in_directory(tmp_path / "other")
        return
    server: Server = request.getfixturevalue("postgresql")
    server.query("CREATE DATABASE other")
    yield postgresql_place(server, "other", tmp_path / "other")
    server.query("DROP DATABASE other WITH (FORCE)")


@pytest.fixture
def passphrase(tmp_path: Path) -> Passphrase:
    """A passphrase in a file."""
    (tmp_path / "passphrase").write_text("correct horse")
    (tmp_path / "passphrase").chmod(0o600)
    return Passphrase(source=f"file:{tmp_path}/passphrase")


def _fill(cas: Cas) -> None:
    first = cas.sessions.post(document(fspf=_MAIN), _ALICE)
    cas.sessions.post(document(predecessor=first, fspf=_MAIN, variable="two"), _ALICE)
    for number in range(250):
        with cas.store.changing() as change:
            change.audit("test", {"number": str(number)})


def _rows(config: CasConfig) -> dict[str, list[tuple[Any, ...]]]:
    """Everything in a database but its keys, and what is written when a CAS comes and goes."""
    found: dict[str, list[tuple[Any, ...]]] = {}
    for table in METADATA.sorted_tables:
        if table.name not in {"keys", "audit", "audit_head", "counters"}:
            rows = execute(config, f"SELECT * FROM {table.name}")  # noqa: S608 - names of our own tables
            found[table.name] = sorted(
                tuple(bytes(cell) if isinstance(cell, memoryview) else cell for cell in row) for row in rows
            )
    return found


def _give_key(config: CasConfig, other: CasConfig) -> None:
    other.master_key.parent.mkdir(mode=0o700, exist_ok=True)
    shutil.copyfile(config.master_key, other.master_key)
    other.master_key.chmod(0o600)


def test_everything_comes_back(config: CasConfig, other: CasConfig, tmp_path: Path) -> None:
    """With the master key, from either database to either."""
    with Cas(config) as cas:
        _fill(cas)
        entries = cas.audit_log()
        key = cas.key_hash
        cas.store.backup(tmp_path / "backup")
    _give_key(config, other)
    facts = restore(tmp_path / "backup", other, passphrase=None)
    assert facts["cas"] == str(key)
    assert _rows(other) == _rows(config)
    with Cas(other) as cas:
        assert cas.key_hash == key
        assert cas.audit_log()[: len(entries)] == entries
        assert cas.sessions.read("demo", _ALICE).generation == 2
        cas.sessions.post(document("after"), _ALICE)
    Cas(other).close()


def test_a_passphrase_opens_it_elsewhere(
    config: CasConfig, other: CasConfig, passphrase: Passphrase, tmp_path: Path
) -> None:
    """A machine that does not have the master key makes one of its own, in its own way."""
    with Cas(config) as cas:
        _fill(cas)
        key = cas.key_hash
        cas.store.backup(tmp_path / "backup", passphrase=passphrase)
    sealed = dataclasses.replace(other, protection=passphrase)
    restore(tmp_path / "backup", sealed, passphrase=passphrase)
    with Cas(sealed) as cas:
        assert cas.key_hash == key
        assert cas.sessions.read("demo", _ALICE).generation == 2
    assert MasterKeyFile(path=other.master_key, protection=passphrase).read() != config.key_file.read()


def test_a_backup_is_of_one_moment(config: CasConfig, tmp_path: Path) -> None:
    """It is whole although the CAS goes on: the audit log in it tells of just what is in it."""
    enough = threading.Event()
    with Cas(config) as cas:
        _fill(cas)

        def work() -> None:
            number = 0
            while not enough.is_set():
                number += 1
                cas.sessions.post(document(f"more-{number}"), _ALICE)

        worker = threading.Thread(target=work)
        worker.start()
        for number in range(3):
            cas.store.backup(tmp_path / str(number))
        enough.set()
        worker.join()
    for number in range(3):
        other = CasConfig.in_directory(tmp_path / f"other-{number}")
        _give_key(config, other)
        restore(tmp_path / str(number), other, passphrase=None)
        with Cas(other) as cas:
            created = [entry.facts["session"] for entry in cas.audit_log() if entry.event == "session_created"]
            assert len(created) == len(_rows(other)["secret_values"]) == len(set(created))
            for name in created:
                assert cas.sessions.read(str(name), _ALICE)


def test_nothing_in_it_can_be_read(config: CasConfig, passphrase: Passphrase, tmp_path: Path) -> None:
    """Neither names nor values nor keys; the file is the owner's alone."""
    with Cas(config) as cas:
        cas.sessions.post(document("canary-name", made="value: canary-secret"), _ALICE)
        for number, way in enumerate((None, passphrase)):
            path = tmp_path / f"backup-{number}"
            cas.store.backup(path, passphrase=way)
            data = path.read_bytes()
            for canary in (b"canary", b"PRIVATE KEY", b"correct horse", config.master_key.read_bytes().strip()):
                assert canary not in data
            assert path.stat().st_mode & 0o777 == 0o600


def test_what_was_changed_is_found(tmp_path: Path) -> None:
    """A bit anywhere, a part that is gone, doubled, moved or of another backup; and nothing is made then."""
    config, other = (CasConfig.in_directory(tmp_path / name) for name in ("cas", "other"))
    with Cas(config) as cas:
        _fill(cas)
        cas.store.backup(tmp_path / "backup")
        cas.store.backup(tmp_path / "again")
    _give_key(config, other)
    data, again = ((tmp_path / name).read_bytes() for name in ("backup", "again"))
    starts, at = [], len(b"bannock-cas-backup-1\n")
    while at < len(data):
        starts.append(at)
        at += 4 + int.from_bytes(data[at : at + 4], "big")
    parts = [data[start:end] for start, end in zip(starts, [*starts[1:], len(data)], strict=True)]
    head, *frames = parts
    assert len(frames) > 5
    assert data.startswith(again[:21])
    damaged = [
        data[:-1],
        data + b"\0",
        data[: starts[-1]],
        data[: starts[1]],
        data[:21] + head + b"".join(frames[1:]),
        data[:21] + head + b"".join([frames[1], frames[0], *frames[2:]]),
        data[:21] + head + b"".join([*frames, frames[-1]]),
        again[: again.index(head[-20:])] + b"".join(frames) if head[-20:] in again else data[:-2],
        *(
            _flipped(data, place)
            for place in (0, 22, starts[0] + 30, *(start + by for start in starts[1:3] for by in (-9, -1, 1, 5)), -1)
        ),
    ]
    for number, text in enumerate(damaged):
        (tmp_path / "damaged").write_bytes(text)
        with pytest.raises((IntegrityError, InputError)):
            restore(tmp_path / "damaged", other, passphrase=None)
        assert _is_empty(other), number
    restore(tmp_path / "backup", other, passphrase=None)


def _flipped(data: bytes, place: int) -> bytes:
    changed = bytearray(data)
    changed[place] ^= 1
    return bytes(changed)


def _is_empty(config: CasConfig) -> bool:
    return not execute(config, "SELECT name FROM sqlite_master")


def test_the_wrong_key_is_told(config: CasConfig, passphrase: Passphrase, tmp_path: Path) -> None:
    """Of another CAS, or a passphrase where there is a master key, or the other way round."""
    other = CasConfig.in_directory(tmp_path / "other")
    with Cas(config) as cas:
        cas.store.backup(tmp_path / "by-key")
        cas.store.backup(tmp_path / "by-passphrase", passphrase=passphrase)
    with pytest.raises(InputError, match=r"cannot read .*master\.key"):
        restore(tmp_path / "by-key", other, passphrase=None)
    with pytest.raises(InputError, match="is sealed under a master key, not under a passphrase"):
        restore(tmp_path / "by-key", other, passphrase=passphrase)
    with pytest.raises(InputError, match="is sealed under a passphrase"):
        restore(tmp_path / "by-passphrase", other, passphrase=None)
    other.master_key.write_text("00" * 32)
    other.master_key.chmod(0o600)
    with pytest.raises(IntegrityError, match="the master key does not open the backup"):
        restore(tmp_path / "by-key", other, passphrase=None)
    (tmp_path / "passphrase").write_text("battery staple")
    with pytest.raises(IntegrityError, match="is not opened by this passphrase"):
        restore(tmp_path / "by-passphrase", other, passphrase=passphrase)
    (tmp_path / "text").write_text("hello")
    for name, message in (("text", "is not a backup of a CAS"), ("none", "cannot read")):
        with pytest.raises(InputError, match=message):
            restore(tmp_path / name, other, passphrase=None)


def test_a_cas_that_is_there_is_not_overwritten(config: CasConfig, tmp_path: Path) -> None:
    """Restoring makes a new database, and touches none that is there."""
    with Cas(config) as cas:
        cas.store.backup(tmp_path / "backup")
        _fill(cas)
    with pytest.raises(InputError, match=r"there is a CAS in .* already"):
        restore(tmp_path / "backup", config, passphrase=None)
    with Cas(config) as cas:
        assert cas.sessions.read("demo", _ALICE)


def test_what_is_older_than_what_was_here_is_refused(tmp_path: Path) -> None:
    """The machine has seen a newer state; its owner may go back, which the audit log says."""
    config = CasConfig.in_directory(tmp_path / "cas")
    with Cas(config) as cas:
        cas.store.backup(tmp_path / "backup")
        cas.sessions.post(document(), _ALICE)
    for path in config.database.parent.glob("cas.db*"):
        path.unlink()
    with pytest.raises(RollbackError, match="is older than it was"):
        restore(tmp_path / "backup", config, passphrase=None)
    restore(tmp_path / "backup", dataclasses.replace(config, accept_rollback=True), passphrase=None)
    Cas(config).close()


def test_a_backup_of_an_older_program_is_restored(tmp_path: Path) -> None:
    """Its tables are made as they were, and brought to what they are now."""
    config, other = (CasConfig.in_directory(tmp_path / name) for name in ("cas", "other"))
    with Cas(config) as cas:
        _fill(cas)
    older = ["schema_version", "sessions", "secret_values", "volumes", "fspfs", "audit", "audit_head", "counters"]
    for name in METADATA.tables:
        if name not in {*older, "keys"}:
            execute(config, f"DROP TABLE {name}")
    execute(config, "UPDATE alembic_version SET version_num = '0002'")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("bannock.cas.backup.tables", lambda: {name: METADATA.tables[name] for name in older})
        patch.setattr("bannock.cas.store.migrate", lambda *_: None)
        store = Store.open(config)
        store.backup(tmp_path / "backup")
        store.close()
    _give_key(config, other)
    assert restore(tmp_path / "backup", other, passphrase=None)["schema"] == "0002"
    with Cas(other) as cas:
        assert cas.sessions.read("demo", _ALICE).generation == 2


def test_the_commands(tmp_path: Path, passphrase: Passphrase, capsys: pytest.CaptureFixture[str]) -> None:
    """Backup, restore and rekey as an operator calls them; the audit log tells of each."""
    conf, elsewhere = str(tmp_path / "conf"), str(tmp_path / "elsewhere")
    backup = str(tmp_path / "backup")
    assert bannock.main(["cas", "backup", "--conf", conf, backup]) == InputError.exit_code
    assert "there is no CAS in" in capsys.readouterr().err
    with Cas(CasConfig.in_directory(tmp_path / "conf" / "cas")) as cas:
        key = cas.key_hash
    assert bannock.main(["cas", "backup", "--conf", conf, "--passphrase", passphrase.source, backup]) == 0
    assert bannock.main(["cas", "restore", "--conf", elsewhere, "--passphrase", passphrase.source, backup]) == 0
    assert capsys.readouterr().out.count(str(key)) == 2
    assert bannock.main(["cas", "rekey", "--conf", elsewhere, "--data", "--passphrase", passphrase.source]) == 0
    config = CasConfig.in_directory(tmp_path / "elsewhere" / "cas")
    with Cas(dataclasses.replace(config, protection=passphrase)) as cas:
        events = [entry.event for entry in cas.audit_log()]
    assert [event for event in events if event in {"backup_restored", "master_key_changed"}] == [
        "backup_restored",
        "master_key_changed",
    ]
    with Cas(CasConfig.in_directory(tmp_path / "conf" / "cas")) as cas:
        assert "backup_written" in [entry.event for entry in cas.audit_log()]
