"""What holds for a CAS on every database: each test runs on SQLite and on PostgreSQL."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from bannock.cas import Cas
from bannock.cas.engines import to_postgresql, to_sqlite
from bannock.cas.records import FspfState, StoredSession
from bannock.cas.schema import METADATA
from bannock.errors import ConflictError, EnvironmentFault, InputError, IntegrityError, RollbackError
from bannock.policy.secret_values import SecretValues
from bannock.values import FspfTag, KeyHash, Secret
from tests.integration.cas.databases import execute
from tests.unit.cas.documents import document

if TYPE_CHECKING:
    from bannock.cas import CasConfig
    from tests.integration.shield.postgresql import Server

_ALICE = KeyHash(b"a" * 32)


def _tag(number: int) -> FspfTag:
    return FspfTag(number.to_bytes(16, "big"))


def test_a_cas_stays_the_same_over_restarts(config: CasConfig) -> None:
    """Keys, sessions, values, states and the audit log are found again."""
    with Cas(config) as cas:
        key = cas.key_hash
        digest = cas.sessions.post(document(), _ALICE)
        values = cas.reading.values("demo")
        with cas.store.changing() as change:
            change.put_volume("demo", "output", FspfState(tag=_tag(1), since=1))
    with Cas(config) as cas:
        assert cas.key_hash == key
        assert cas.sessions.read("demo", _ALICE).digest == digest
        assert cas.reading.values("demo") == values
        assert cas.reading.volume_tag("demo", "output", _ALICE) == _tag(1)
        assert "session_created" in [entry.event for entry in cas.audit_log()]


def test_older_versions_are_kept(config: CasConfig) -> None:
    """They are found by their hash, and the newest without one."""
    with Cas(config) as cas:
        first = cas.sessions.post(document(), _ALICE)
        second = cas.sessions.post(document(predecessor=first, variable="two"), _ALICE)
        assert cas.sessions.read("demo", _ALICE).digest == second
        assert cas.sessions.read("demo", _ALICE, digest=first).generation == 1


def test_a_change_that_fails_changes_nothing(config: CasConfig) -> None:
    """It is undone as a whole, and what it told the audit log too."""
    stored = StoredSession(name="half", generation=1, digest="00" * 32, text="", creator=_ALICE)

    def fail_half_way(cas: Cas) -> None:
        with cas.store.changing() as change:
            change.put_session(stored, SecretValues(), {"v": FspfState(tag=None, since=1)}, {})
            change.audit("session-created", {})
            raise KeyError

    with Cas(config) as cas:
        before = [entry.event for entry in cas.audit_log()]
        with pytest.raises(KeyError):
            fail_half_way(cas)
        with cas.store.reading() as view:
            assert view.session("half") is None
            assert view.volume("half", "v") is None
        assert [entry.event for entry in cas.audit_log()] == before


def test_changes_at_the_same_time_are_each_whole_and_alone(config: CasConfig) -> None:
    """Of many changes by many threads, those that fail leave nothing, and those that do not are all there.

    They share transactions, so this shows that one change is undone without those before and after it.
    """

    def change(number: int) -> bool:
        with cas.store.changing() as change:
            change.put_volume("demo", f"v{number}", FspfState(tag=_tag(number), since=1))
            change.audit("volume-committed", {"volume": str(number)})
            if number % 3 == 0:
                raise ConflictError("no")
        return True

    def attempt(number: int) -> bool:
        try:
            return change(number)
        except ConflictError:
            return False

    with Cas(config) as cas:
        with ThreadPoolExecutor(8) as pool:
            kept = list(pool.map(attempt, range(200)))
        with cas.store.reading() as view:
            found = [view.volume("demo", f"v{number}") is not None for number in range(200)]
        told = {entry.facts["volume"] for entry in cas.audit_log() if entry.event == "volume-committed"}
    assert kept == found == [number % 3 != 0 for number in range(200)]
    assert told == {str(number) for number in range(200) if number % 3}


def test_changes_at_the_same_time_share_a_transaction(config: CasConfig) -> None:
    """While one change waits for the disk, those that came meanwhile gather, and are committed together."""
    with Cas(config) as cas:
        before = cas.store.changes
        with ThreadPoolExecutor(16) as pool:
            first = threading.Barrier(16)

            def change(number: int) -> None:
                first.wait()
                for _ in range(10):
                    with cas.store.changing() as change:
                        change.put_volume("demo", f"v{number}", FspfState(tag=_tag(number), since=1))

            list(pool.map(change, range(16)))
        assert cas.store.changes - before < 100


def test_no_update_is_lost(config: CasConfig) -> None:
    """Threads of two CASes add one to the same number a hundred times each: none is lost."""

    def add(cas: Cas) -> None:
        for _ in range(25):
            with cas.store.changing() as change:
                state = change.volume("demo", "v")
                number = 0 if state is None or state.tag is None else int.from_bytes(state.tag.value, "big")
                change.put_volume("demo", "v", FspfState(tag=_tag(number + 1), since=1))

    with Cas(config) as one, Cas(config) as two:
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(add, [one, two, one, two]))
        with one.store.reading() as view:
            assert view.volume("demo", "v") == FspfState(tag=_tag(100), since=1)


def test_of_two_writers_of_one_session_one_wins(config: CasConfig) -> None:
    """Two updates that name one predecessor, by two CASes at the same time: the second is told of the conflict."""
    with Cas(config) as one, Cas(config) as two:
        predecessor = one.sessions.post(document(), _ALICE)
        for number in range(10):
            texts = [document(predecessor=predecessor, variable=f"{number} of {who}") for who in ("one", "two")]
            with ThreadPoolExecutor(2) as pool:
                done = [
                    pool.submit(cas.sessions.post, text, _ALICE) for cas, text in zip((one, two), texts, strict=True)
                ]
            failures = [future.exception() for future in done]
            assert [type(failure) for failure in failures if failure] == [ConflictError]
            predecessor = next(future.result() for future in done if not future.exception())
            assert two.sessions.read("demo", _ALICE).digest == predecessor
            assert one.sessions.read("demo", _ALICE).generation == number + 2


def test_one_cas_sees_at_once_what_another_has_changed(config: CasConfig) -> None:
    """No cache of a process answers with what was before."""
    with Cas(config) as one, Cas(config) as two:
        digest = one.sessions.post(document(), _ALICE)
        for number in range(5):
            assert two.sessions.read("demo", _ALICE).digest == digest
            writer = (one, two)[number % 2]
            digest = writer.sessions.post(document(predecessor=digest, variable=str(number)), _ALICE)
            for cas in (one, two):
                with cas.store.reading() as view:
                    stored, session = cas.sessions.newest(view, "demo")
                assert (stored.digest, session.digest) == (digest, digest)


def test_nothing_in_the_database_can_be_read(config: CasConfig) -> None:
    """Names, values and hashes are in no row."""
    with Cas(config) as cas:
        text = document("canary-name", made="value: canary-secret", variable="canary-variable")
        digest = cas.sessions.post(text, _ALICE)
    everything = b""
    for table in METADATA.sorted_tables:
        for row in execute(config, f"SELECT * FROM {table.name}"):  # noqa: S608 - names of our own tables
            everything += b"|".join(cell if isinstance(cell, bytes) else str(cell).encode() for cell in row)
    assert len(everything) > 5000
    for canary in (b"canary", bytes.fromhex(digest), digest.encode(), _ALICE.value, b"session_created"):
        assert canary not in everything


@pytest.mark.parametrize("table", ["sessions", "secret_values", "volumes", "audit", "counters"])
def test_a_changed_row_is_found(config: CasConfig, table: str) -> None:
    """No row can be changed without notice."""
    with Cas(config) as cas:
        cas.sessions.post(document(), _ALICE)
        (sealed,) = execute(config, f"SELECT sealed FROM {table}")[0]  # noqa: S608
        changed = bytes(sealed[:-1]) + bytes([sealed[-1] ^ 1])
        execute(config, f"UPDATE {table} SET sealed = ?", changed)  # noqa: S608

        def look() -> None:
            with cas.store.reading() as view:
                view.session("demo")
                view.secret_values("demo")
                view.volume("demo", "output")
            cas.audit_log()

        with pytest.raises(IntegrityError, match=f"a row of table {table}"):
            look()


def test_a_missing_master_key_is_not_made_anew(config: CasConfig) -> None:
    """A new key would open nothing of what is there."""
    Cas(config).close()
    config.master_key.unlink()
    with pytest.raises(InputError, match=r"cannot read .*master\.key"):
        Cas(config)


def test_a_newer_schema_is_refused(config: CasConfig) -> None:
    """A program does not touch what a newer one has written."""
    Cas(config).close()
    execute(config, "UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(InputError, match=r"has schema version 9999, this program knows \d{4}"):
        Cas(config)


def test_migrations_make_what_the_program_uses(config: CasConfig) -> None:
    """A change of a table without a migration is found here."""
    Cas(config).close()
    backend = to_sqlite(config.database) if config.postgresql is None else to_postgresql(config.postgresql)
    with backend.readers.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), METADATA) == []
    backend.close()


def test_a_state_from_before_is_noticed_while_a_cas_runs(config: CasConfig) -> None:
    """Once rows were put back to what they were, no answer is given from them, and nothing is changed on top."""
    with Cas(config) as cas:
        first = cas.sessions.post(document(), _ALICE)
        ((old,),) = execute(config, "SELECT sealed FROM counters")
        cas.sessions.post(document(predecessor=first, variable="two"), _ALICE)
        execute(config, "UPDATE counters SET sealed = ?", bytes(old))
        with pytest.raises(RollbackError, match=r"is older than it was: its last change is number 2, expected 3"):
            cas.sessions.read("demo", _ALICE)
        with pytest.raises(RollbackError):
            cas.sessions.post(document("other"), _ALICE)
        with pytest.raises(RollbackError):
            cas.reading.values("demo")


def test_a_state_from_before_is_noticed_at_start(config: CasConfig) -> None:
    """The counter file knows how far the database was; the owner can go on with it, which the audit log says."""
    with Cas(config) as cas:
        cas.sessions.post(document(), _ALICE)
        ((old,),) = execute(config, "SELECT sealed FROM counters")
        cas.sessions.post(document("other"), _ALICE)
    execute(config, "UPDATE counters SET sealed = ?", bytes(old))
    with pytest.raises(RollbackError, match="its last change is number 2, expected 4") as caught:
        Cas(config)
    assert "--accept-rollback" in (caught.value.hint or "")
    with Cas(dataclasses.replace(config, accept_rollback=True)) as cas:
        (entry,) = [entry for entry in cas.audit_log() if entry.event == "rollback_accepted"]
        assert entry.facts == {"found": "2", "known": "4"}
    with Cas(config) as cas:
        assert cas.sessions.read("demo", _ALICE)


def test_a_counter_file_that_is_gone_is_noticed(config: CasConfig) -> None:
    """Whoever takes it away could have taken the newest database away too."""
    Cas(config).close()
    config.counter.unlink()
    with pytest.raises(RollbackError, match="cannot be told"):
        Cas(config)
    Cas(dataclasses.replace(config, accept_rollback=True)).close()
    Cas(config).close()


@pytest.mark.parametrize("change", [b"", b"bannock-counter-1\n", b"x" * 58])
def test_a_counter_file_of_somebody_else_is_refused(config: CasConfig, change: bytes) -> None:
    """A number that this CAS has not written is not taken for one."""
    Cas(config).close()
    config.counter.write_bytes(change)
    with pytest.raises(IntegrityError, match="is not one that this CAS has written"):
        Cas(config)
    Cas(dataclasses.replace(config, accept_rollback=True)).close()
    Cas(config).close()


def test_a_postgresql_database_that_is_not_there_is_told(
    postgresql: Server, postgresql_config: CasConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message names the server and the database, and no password."""
    monkeypatch.setattr("bannock.cas.engines.AWAY_SECONDS", 0.3)
    url = Secret(f"postgresql://postgres:canary@/nothing?host={postgresql.base}".encode())
    with pytest.raises(EnvironmentFault, match='database "nothing" does not exist') as caught:
        Cas(dataclasses.replace(postgresql_config, postgresql=url))
    assert "canary" not in str(caught.value)


def test_changes_that_share_a_transaction_that_fails_are_all_told(
    config: CasConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """None of them is there, and each who asked gets an error of his own, with its cause."""

    def change(number: int) -> None:
        barrier.wait()
        with cas.store.changing() as change:
            change.put_volume("demo", f"v{number}", FspfState(tag=_tag(number), since=1))

    def refuse(*_: object) -> None:
        raise EnvironmentFault("nothing can be logged") from OSError("full")

    with Cas(config) as cas, ThreadPoolExecutor(8) as pool:
        barrier = threading.Barrier(8)
        with monkeypatch.context() as patch:
            patch.setattr(cas.store.journal, "append", refuse)
            failures = [future.exception() for future in [pool.submit(change, number) for number in range(8)]]
        assert [str(failure) for failure in failures] == ["nothing can be logged"] * 8
        assert len({id(failure) for failure in failures}) == 8
        assert all(isinstance(failure.__cause__, OSError) for failure in failures if failure)
        with cas.store.reading() as view:
            assert view.volumes("demo", [f"v{number}" for number in range(8)]) == {}
        cas.sessions.post(document(), _ALICE)


def test_a_postgresql_server_that_crashed_is_found_again(postgresql: Server, postgresql_config: CasConfig) -> None:
    """It has all that was acknowledged, and no request fails for the connections that were there before."""
    ours = "FROM pg_stat_activity WHERE application_name = 'bannock-cas'"
    with Cas(postgresql_config) as cas:
        digest = cas.sessions.post(document(), _ALICE)
        # A server that finds one of its processes killed ends all connections, and recovers as after a crash.
        os.kill(int(postgresql.query(f"SELECT pid {ours} LIMIT 1")), signal.SIGKILL)
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            # While it recovers, it answers nobody.
            with contextlib.suppress(AssertionError):
                if postgresql.query(f"SELECT count(*) {ours}") == "0":
                    break
            time.sleep(0.05)
        assert cas.sessions.read("demo", _ALICE).digest == digest
        posted = cas.sessions.post(document("other"), _ALICE)
        assert cas.sessions.read("other", _ALICE).digest == posted
