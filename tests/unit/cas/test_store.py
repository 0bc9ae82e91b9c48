"""The store: what stays, what nobody can read, and what it refuses to open."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from bannock.cas import Cas, CasConfig
from bannock.cas.records import FspfState, StoredSession
from bannock.errors import InputError, IntegrityError
from bannock.policy.secret_values import SecretValues
from bannock.values import FspfTag
from tests.unit.cas.documents import document

if TYPE_CHECKING:
    from bannock.values import KeyHash

_MAIN = f"fspf_path: /main.fspf\n    fspf_key: {'aa' * 32}\n    fspf_tag: {'74' * 16}"


def _execute(config: CasConfig, statement: str, *parameters: object) -> list[tuple[object, ...]]:
    """Attack the database file."""
    with closing(sqlite3.connect(config.database)) as connection, connection:
        return connection.execute(statement, parameters).fetchall()


def test_a_cas_stays_the_same_over_restarts(config: CasConfig, alice: KeyHash) -> None:
    """Keys, sessions and secret values are found again."""
    with Cas(config) as cas:
        identity = cas.store.identity
        digest = cas.sessions.post(document(), alice)
        values = cas.reading.values("demo")
    with Cas(config) as cas:
        assert cas.store.identity.to_pem() == identity.to_pem()
        assert cas.sessions.read("demo", alice).digest == digest
        assert cas.reading.values("demo") == values
        assert [entry.event for entry in cas.audit_log() if entry.event != "audit_log_attestation_report"] == [
            "cas_started",
            "session_created",
            "cas_exited",
            "cas_started",
            "session_read",
        ]


def test_files_are_the_owners_alone(config: CasConfig, cas: Cas, alice: KeyHash) -> None:
    """Database, its log and the master key are private, and so is their directory."""
    cas.sessions.post(document(), alice)
    assert config.database.parent.stat().st_mode & 0o777 == 0o700
    for file in config.database.parent.iterdir():
        assert file.stat().st_mode & 0o777 == 0o600, file


def test_nothing_in_the_files_can_be_read(config: CasConfig, cas: Cas, alice: KeyHash) -> None:
    """Names, values, hashes, clients and keys are in no file, the write-ahead log included."""
    text = document("canary-name", made="value: canary-secret-value", variable="canary-variable")
    digest = cas.sessions.post(text, alice)
    with cas.store.reading() as view:
        key = view.secret_values("canary-name").volume_keys["output"]
    canaries = [b"canary", digest.encode(), bytes.fromhex(digest), alice.value, str(alice).encode()]
    canaries += [key.reveal(), key.reveal_hex().encode(), b"output", b"session_created", b"PRIVATE KEY"]
    files = {file.name: file.read_bytes() for file in config.database.parent.iterdir()}
    assert {"cas.db", "cas.db-wal"} <= set(files)
    assert len(b"".join(files.values())) > 10_000
    for canary in canaries:
        assert [name for name, data in files.items() if canary in data] == []


def test_a_missing_master_key_is_not_made_anew(config: CasConfig) -> None:
    """A new key would open nothing of what is there."""
    Cas(config).close()
    config.master_key.unlink()
    with pytest.raises(InputError, match=r"cannot read .*master\.key"):
        Cas(config)
    assert not config.master_key.exists()


def test_another_master_key_is_refused(config: CasConfig) -> None:
    """The message says that key and database do not belong together."""
    Cas(config).close()
    config.master_key.write_text("00" * 32)
    with pytest.raises(IntegrityError, match="the master key does not open the database"):
        Cas(config)


def test_a_master_key_that_others_may_read_is_refused(config: CasConfig) -> None:
    """The key is of no use if anybody has it."""
    Cas(config).close()
    config.master_key.chmod(0o640)
    with pytest.raises(InputError, match="open to others"):
        Cas(config)


@pytest.mark.parametrize("text", ["", "zz", "00" * 31, "00" * 33, "\x80"])
def test_a_malformed_master_key_is_refused(config: CasConfig, text: str) -> None:
    """It is 64 hexadecimal digits, and what was found is not repeated."""
    Cas(config).close()
    config.master_key.write_text(text)
    with pytest.raises(InputError, match=r"does not hold 64 hexadecimal digits$"):
        Cas(config)


def test_a_newer_schema_is_refused(config: CasConfig) -> None:
    """A program does not touch what a newer one has written."""
    Cas(config).close()
    _execute(config, "UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(InputError, match="has schema version 9999, this program knows 0007"):
        Cas(config)


def test_a_damaged_file_is_told(config: CasConfig) -> None:
    """A file that is no database is an integrity error."""
    Cas(config).close()
    config.database.write_bytes(b"no database " * 1000)
    with pytest.raises(IntegrityError, match="is damaged"):
        Cas(config)


@pytest.mark.parametrize("table", ["sessions", "secret_values", "volumes", "fspfs", "audit", "audit_head"])
def test_a_changed_row_is_found(config: CasConfig, cas: Cas, alice: KeyHash, table: str) -> None:
    """No row of any table can be changed in the file without notice."""
    cas.sessions.post(document(fspf=_MAIN), alice)
    (sealed,), *_ = _execute(config, f"SELECT sealed FROM {table}")  # noqa: S608 - names of our own tables
    assert isinstance(sealed, bytes)
    _execute(config, f"UPDATE {table} SET sealed = ?", sealed[:-1] + bytes([sealed[-1] ^ 1]))  # noqa: S608
    with pytest.raises(IntegrityError, match=f"a row of table {table}"):
        _look_at_everything(cas)


def _look_at_everything(cas: Cas) -> None:
    with cas.store.reading() as view:
        view.session("demo")
        view.secret_values("demo")
        view.volume("demo", "output")
        view.fspf("demo", "app")
    cas.audit_log()


def test_a_state_of_another_kind_is_found(config: CasConfig, cas: Cas, alice: KeyHash) -> None:
    """The state of a volume is not taken for one of a main protection file, were it of the same name."""
    cas.sessions.post(document(fspf=_MAIN), alice)
    ((sealed,),) = _execute(config, "SELECT sealed FROM volumes")
    _execute(config, "UPDATE fspfs SET sealed = ?", sealed)
    with cas.store.reading() as view, pytest.raises(IntegrityError, match="a row of table fspfs"):
        view.fspf("demo", "app")


def test_states_come_back_from_their_bytes() -> None:
    """Those that were stored before there were further copies too; anything else is damage."""
    one, two, three = (FspfTag(letter * 16) for letter in (b"1", b"2", b"3"))
    for state in (
        FspfState(tag=None, since=1),
        FspfState(tag=one, since=2),
        FspfState(tag=one, since=7, others=(two, three)),
    ):
        assert FspfState.from_json(state.to_json()) == state
    old = f'{{"since":3,"tag":"{one}"}}'.encode()
    assert FspfState.from_json(old) == FspfState(tag=one, since=3)
    for damaged in (b"", b"[]", b"{}", b'{"since":1,"tag":"x"}', b'{"since":1,"tag":null,"others":["x"]}'):
        with pytest.raises(IntegrityError):
            FspfState.from_json(damaged)


def test_a_row_of_another_session_is_found(config: CasConfig, cas: Cas, alice: KeyHash) -> None:
    """A session's secrets cannot be given to another session."""
    cas.sessions.post(document("victim"), alice)
    cas.sessions.post(document("attacker"), alice)
    (first, _), (_, sealed) = _execute(config, "SELECT session, sealed FROM secret_values ORDER BY session")
    _execute(config, "UPDATE secret_values SET sealed = ? WHERE session = ?", sealed, first)
    names = ["victim", "attacker"]
    failures = 0
    for name in names:
        try:
            with cas.store.reading() as view:
                view.secret_values(name)
        except IntegrityError:
            failures += 1
    assert failures == 1


@pytest.mark.parametrize(
    "damage",
    [
        "DELETE FROM audit WHERE sequence = 2",
        "DELETE FROM audit WHERE sequence = 4",
        "UPDATE audit SET sequence = 9 WHERE sequence = 1",
        "DELETE FROM audit_head",
        "DELETE FROM audit",
    ],
)
def test_damage_to_the_audit_log_is_found(config: CasConfig, cas: Cas, alice: KeyHash, damage: str) -> None:
    """Removed, moved and truncated entries are found with the head that the operator kept."""
    for name in ("one", "two", "three"):
        cas.sessions.post(document(name), alice)
    head = cas.audit_head()
    assert [entry.sequence for entry in cas.audit_log(heads=[head])] == [1, 1, 2, 3, 4]
    _execute(config, damage)
    if damage == "DELETE FROM audit_head":
        _execute(config, "DELETE FROM audit WHERE sequence = 4")
    with pytest.raises(IntegrityError):
        cas.audit_log(heads=[head])


def test_a_transaction_that_fails_changes_nothing(cas: Cas, alice: KeyHash) -> None:
    """What raises within a change is undone as a whole, its audit entry too."""
    stored = StoredSession(name="half", generation=1, digest="00" * 32, text="", creator=alice)

    def fail_half_way() -> None:
        with cas.store.changing() as change:
            change.put_session(stored, SecretValues(), {"v": FspfState(tag=None, since=1)}, {})
            change.audit("session_created", {})
            raise KeyError

    with pytest.raises(KeyError):
        fail_half_way()
    with cas.store.reading() as view:
        assert view.session("half") is None
        assert view.volume("half", "v") is None
    assert [entry.sequence for entry in cas.audit_log()] == [1, 1]
