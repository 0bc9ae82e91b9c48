"""Other keys: a CAS goes on with a new master key or a new key for its data, whatever happens on the way."""

from __future__ import annotations

import dataclasses
import errno
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bannock.cas import Cas
from bannock.cas.master_key import MasterKeyFile, Passphrase
from bannock.cas.schema import METADATA
from bannock.errors import EnvironmentFault, IntegrityError
from bannock.values import KeyHash, Secret
from tests.integration.cas.databases import execute
from tests.unit.cas.documents import document

if TYPE_CHECKING:
    from collections.abc import Callable

    from bannock.cas import CasConfig

_ALICE = KeyHash(b"a" * 32)
_MAIN = f"fspf_path: /main.fspf\n    fspf_key: {'aa' * 32}\n    fspf_tag: {'74' * 16}"


def _look(cas: Cas) -> list[object]:
    """Everything that is stored."""
    with cas.store.reading() as view:
        found: list[object] = [view.session("demo"), view.secret_values("demo").to_json()]
        found += [view.volume("demo", "output"), view.fspf("demo", "app"), cas.key_hash]
    return found + [entry.event for entry in cas.audit_log() if entry.event == "session_created"]


@pytest.mark.parametrize("data", [False, True])
def test_everything_is_there_after_a_new_key(config: CasConfig, *, data: bool) -> None:
    """Of the running CAS, of another one that runs, and of one that starts later; the old key opens nothing."""
    with Cas(config) as one, Cas(config) as two:
        one.sessions.post(document(fspf=_MAIN), _ALICE)
        before, old = _look(one), config.master_key.read_bytes()
        rows = [bytes(sealed) for (sealed,) in execute(config, "SELECT sealed FROM secret_values")]
        one.store.rekey(data=data)
        assert _look(one) == _look(two) == before
        assert config.master_key.read_bytes() != old
        changed = [bytes(sealed) for (sealed,) in execute(config, "SELECT sealed FROM secret_values")] != rows
        assert changed == data
        two.sessions.post(document("after"), _ALICE)
        assert one.sessions.read("after", _ALICE).generation == 1
        (entry,) = [entry for entry in two.audit_log() if entry.event == "master_key_changed"]
        assert entry.facts == {"data_key": "new" if data else "same"}
    with Cas(config) as cas:
        assert [each for each in _look(cas) if each != "session_created"] == [
            each for each in before if each != "session_created"
        ]
    config.master_key.write_bytes(old)
    with pytest.raises(IntegrityError, match="the master key does not open the database"):
        Cas(config)


def test_no_row_keeps_the_old_key(config: CasConfig) -> None:
    """Whoever has the old data key opens nothing of what is there now."""
    with Cas(config) as cas:
        cas.sessions.post(document(fspf=_MAIN), _ALICE)
        tables = [table.name for table in METADATA.sorted_tables if "sealed" in table.columns and table.name != "keys"]
        before = {table: execute(config, f"SELECT sealed FROM {table}") for table in tables}  # noqa: S608
        cas.store.rekey(data=True)
    for table, rows in before.items():
        after = {bytes(sealed) for (sealed,) in execute(config, f"SELECT sealed FROM {table}")}  # noqa: S608
        assert not after & {bytes(sealed) for (sealed,) in rows}, table


def test_many_rows_are_sealed_anew(config: CasConfig) -> None:
    """More of them than are in memory at once."""
    with Cas(config) as cas:
        with cas.store.changing() as change:
            for number in range(1203):
                change.audit("test", {"number": str(number)})
        for number in range(3):
            cas.sessions.post(document(f"s{number}"), _ALICE)
        entries = cas.audit_log()
        cas.store.rekey(data=True)
        assert cas.audit_log()[: len(entries)] == entries


def test_requests_go_on_meanwhile(config: CasConfig) -> None:
    """Readers and writers of another CAS see no failure while the keys change under them."""
    with Cas(config) as one, Cas(config) as two:
        one.sessions.post(document(), _ALICE)
        enough = threading.Event()
        failures: list[BaseException] = []

        def work(call: Callable[[int], object]) -> None:
            number = 0
            while not enough.is_set():
                number += 1
                try:
                    call(number)
                except Exception as error:  # noqa: BLE001 - told by the assertion
                    failures.append(error)
                    return

        def write(number: int) -> None:
            with two.store.changing() as change:
                change.audit("test", {"number": str(number)})

        threads = [
            threading.Thread(target=work, args=(call,))
            for call in (lambda _: two.sessions.read("demo", _ALICE), lambda _: one.reading.values("demo"), write)
        ]
        for thread in threads:
            thread.start()
        for number in range(6):
            one.store.rekey(data=number % 2 == 0)
        enough.set()
        for thread in threads:
            thread.join()
        assert failures == []
        two.audit_log()


def test_a_passphrase_can_be_put_on_and_taken_off(config: CasConfig, tmp_path: Path) -> None:
    """The file is sealed from the next start on, and opens with the passphrase alone."""
    passphrase = tmp_path / "passphrase"
    passphrase.write_text("correct horse")
    passphrase.chmod(0o600)
    sealed = dataclasses.replace(config, protection=Passphrase(source=f"file:{passphrase}"))
    with Cas(config) as cas:
        key = cas.key_hash
        cas.store.rekey(protection=sealed.protection)
    with Cas(sealed) as cas:
        assert cas.key_hash == key
        cas.store.rekey(protection=config.protection)
    with Cas(config) as cas:
        assert cas.key_hash == key


def test_a_new_cas_may_have_a_passphrase_at_once(config: CasConfig, tmp_path: Path) -> None:
    """The key is never in its file as it is."""
    (tmp_path / "passphrase").write_text("correct horse")
    (tmp_path / "passphrase").chmod(0o600)
    sealed = dataclasses.replace(config, protection=Passphrase(source=f"file:{tmp_path}/passphrase"))
    with Cas(sealed) as cas:
        key = cas.key_hash
    assert config.master_key.read_bytes().startswith(b"{")
    with Cas(sealed) as cas:
        assert cas.key_hash == key


def test_a_rekey_that_is_stopped_before_its_commit_did_not_happen(
    config: CasConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The new file is there already, the database does not know it: the old key is the master key, and is kept."""
    with Cas(config) as cas:
        key = cas.key_hash

        def refuse(*_: object) -> None:
            raise EnvironmentFault("no")

        with monkeypatch.context() as patch:
            patch.setattr(cas.store.journal, "append", refuse)
            with pytest.raises(EnvironmentFault):
                cas.store.rekey(data=True)
        assert config.key_file.next.path.exists()
    with Cas(config) as cas:
        assert cas.key_hash == key
    assert not config.key_file.next.path.exists()


def test_a_master_key_is_read_where_nothing_can_be_written(
    config: CasConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A secret of a cluster is mounted read-only; removing a name there is refused even if there is none."""
    directory = tmp_path / "keys"
    directory.mkdir(mode=0o700)
    config = dataclasses.replace(config, master_key=directory / "master.key", rollback_counter=tmp_path / "counter")
    with Cas(config) as cas:
        key = cas.key_hash
    unlink = Path.unlink

    def refuse(path: Path, missing_ok: bool = False) -> None:  # noqa: FBT001, FBT002 - as pathlib has it
        if path.parent == directory:
            raise OSError(errno.EROFS, "Read-only file system", str(path))
        unlink(path, missing_ok=missing_ok)

    monkeypatch.setattr(Path, "unlink", refuse)
    with Cas(config) as cas:
        assert cas.key_hash == key


@pytest.mark.parametrize("data", [False, True])
def test_a_rekey_that_is_stopped_after_its_commit_is_brought_to_its_end(
    config: CasConfig, monkeypatch: pytest.MonkeyPatch, *, data: bool
) -> None:
    """The database knows the new key, whose file has not got its name yet."""
    with Cas(config) as cas:
        key = cas.key_hash
        old = config.master_key.read_bytes()
        with monkeypatch.context() as patch:
            patch.setattr("bannock.cas.store.adopt", lambda _: None)
            cas.store.rekey(data=data)
        new = config.key_file.next.path.read_bytes()
        assert config.master_key.read_bytes() == old != new
    with Cas(config) as cas:
        assert cas.key_hash == key
    assert config.master_key.read_bytes() == new


def test_a_key_of_the_owners_choice(config: CasConfig) -> None:
    """It is what the file has afterwards."""
    key = Secret(b"\x07" * 32)
    with Cas(config) as cas:
        cas.store.rekey(key=key)
    assert MasterKeyFile(path=config.master_key, protection=config.protection).read() == key
    Cas(config).close()
