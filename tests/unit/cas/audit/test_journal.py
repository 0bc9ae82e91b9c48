"""The log that a CAS writes: into its database, into files that are rotated, and onto disks that are full."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from bannock.cas import Cas, CasConfig
from bannock.cas.audit import journal, rows
from bannock.cas.audit.config import AuditLogConfig, DatabaseOnly, Keep, Mode, OnFull, ToFile
from bannock.cas.audit.findings import Outcome, Status
from bannock.errors import EnvironmentFault, InputError, NotFoundError, causes
from tests.unit.cas.audit.conftest import Log
from tests.unit.cas.documents import document

if TYPE_CHECKING:
    from pathlib import Path

    from bannock.values import KeyHash


def _events(log: Log) -> list[str]:
    told = [event["event"] for line in log.lines for event in json.loads(line)["events"]]
    return [event for event in told if event != "audit_log_attestation_report"]


def _fill(disk: Path) -> Path:
    """Leave no byte on a file system."""
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(bytes(4096)):
            pass
    return ballast


def _exhaust(cas: Cas, path: Path) -> None:
    """Fill what is left of the last page of a log on a full file system."""
    size = 0
    while size != (size := path.stat().st_size):
        with contextlib.suppress(EnvironmentFault), cas.store.changing() as change:
            change.audit("x", {})


def test_a_file_has_an_entry_a_line(filer: Cas, log: Log, alice: KeyHash) -> None:
    """It is what the database has, for its owner's eyes alone, and correct."""
    filer.sessions.post(document(), alice)
    assert _events(log) == ["cas_started", "session_created"]
    assert log.path.read_bytes() == filer.audit.lines(1, None)
    assert log.path.stat().st_mode & 0o777 == 0o600
    assert log.outcome(filer) is Outcome.CORRECT


def test_start_and_end_are_told(filing: CasConfig, log: Log) -> None:
    """Each start names the key that signs, and who certifies it."""
    for _ in range(2):
        with Cas(filing):
            pass
    assert _events(log) == ["cas_started", "cas_exited"] * 2
    started = json.loads(log.lines[0])["events"][0]
    assert (started["mode"], started["sink"]) == ("signed", "file")
    assert len(started["certificate_chain"]) == 2


def test_what_a_log_does_not_say(filer: Cas, log: Log, alice: KeyHash) -> None:
    """Neither documents nor values of secrets are in it."""
    filer.sessions.post(document(variable="canary-in-a-document"), alice)
    password = filer.reading.values("demo")["greeting"]
    text = log.path.read_text()
    assert "demo" in text
    assert "canary-in-a-document" not in text
    assert password not in text


def test_entries_are_numbered_on_after_a_restart(filing: CasConfig, log: Log, alice: KeyHash) -> None:
    """One chain, over all lives of a CAS."""
    for name in ("one", "two", "three"):
        with Cas(filing) as cas:
            cas.sessions.post(document(name), alice)
    with Cas(filing) as cas:
        assert [json.loads(line)["sequence"] for line in log.lines] == list(range(1, 11))
        assert log.outcome(cas) is Outcome.CORRECT


def test_an_unsigned_log(filing: CasConfig, log: Log) -> None:
    """It is written, and cannot be verified."""
    with Cas(replace(filing, audit_log=AuditLogConfig(mode=Mode.UNSIGNED, sink=ToFile()))) as cas:
        assert [json.loads(line)["signature"] for line in log.lines] == [None]
        assert log.outcome(cas) is Outcome.NOT_AUTHENTIC


def test_a_disabled_log(filing: CasConfig, log: Log, alice: KeyHash) -> None:
    """Nothing is written anywhere; what is written later goes on where the log stopped."""
    with Cas(filing):
        pass
    with Cas(replace(filing, audit_log=AuditLogConfig(mode=Mode.DISABLED, sink=ToFile()))) as cas:
        cas.sessions.post(document(), alice)
        assert _events(log) == ["cas_started", "cas_exited"]
    with Cas(filing) as cas:
        assert _events(log) == ["cas_started", "cas_exited", "cas_started"]
        assert log.outcome(cas) is Outcome.CORRECT


def test_switching_the_log_off_and_on(filer: Cas, log: Log, alice: KeyHash) -> None:
    """Both are entries, and what happens in between is none."""
    filer.audit.configure(AuditLogConfig(mode=Mode.DISABLED))
    filer.sessions.post(document(), alice)
    filer.audit.configure(AuditLogConfig(sink=ToFile()))
    assert _events(log) == ["cas_started", "audit_log_disabled", "audit_log_enabled"]
    assert log.outcome(filer) is Outcome.CORRECT


def test_a_sink_that_does_not_work_is_not_taken(cas: Cas, config: CasConfig, alice: KeyHash) -> None:
    """Whoever configures is told, and the log goes on where it was."""
    (config.database.parent / "cas_audit.log").mkdir()
    with pytest.raises(EnvironmentFault):
        cas.audit.configure(AuditLogConfig(sink=ToFile()))
    cas.sessions.post(document(), alice)
    assert [entry.event for entry in cas.audit_log()][2:] == ["session_created"]


def test_a_sink_that_does_not_work_can_be_left(filing: CasConfig, log: Log, alice: KeyHash) -> None:
    """The owner is not caught in a configuration whose sink is gone."""
    with Cas(filing) as cas:
        log.path.unlink()
        log.path.mkdir()
        with pytest.raises(EnvironmentFault, match="nothing is done that cannot be logged"):
            cas.sessions.post(document(), alice)
        cas.audit.configure(AuditLogConfig(sink=DatabaseOnly()))
        cas.sessions.post(document(), alice)
        told = [entry.event for entry in cas.audit_log()][2:]
        assert told == ["audit_log_enabled", "audit_log_attestation_report", "session_created"]


@pytest.mark.parametrize("rotate", ["rename", "copy and truncate", "remove"])
def test_rotation(filer: Cas, log: Log, alice: KeyHash, rotate: str) -> None:
    """Whoever rotates the file need not tell the CAS; each part can be verified by itself."""
    old = log.path.with_name("cas_audit.log.1")
    filer.sessions.post(document("one"), alice)
    shutil.copy(log.path, old)
    match rotate:
        case "rename":
            log.path.rename(old)
        case "copy and truncate":
            os.truncate(log.path, 0)
        case _:
            log.path.unlink()
    filer.sessions.post(document("two"), alice)
    assert _events(log) == ["audit_log_rotated", "session_created"]
    first = bytes.fromhex(json.loads(log.lines[0])["predecessor"])
    assert log.verdict(filer, predecessor=first).outcome is Outcome.CORRECT
    assert log.outcome(filer) is Outcome.OLDEST_MISSING
    assert log.verdict(filer, path=old, last=first).outcome is Outcome.CORRECT
    assert log.verdict(filer, path=old).outcome is Outcome.NEWEST_MISSING


def test_a_torn_line_is_cut_off(filing: CasConfig, log: Log, alice: KeyHash) -> None:
    """What a power cut leaves of a line belongs to a transaction that was not committed."""
    with Cas(filing):
        pass
    with log.path.open("ab") as file:
        file.write(b'{"at":"20')
    with Cas(filing) as cas:
        cas.sessions.post(document(), alice)
        assert log.outcome(cas) is Outcome.CORRECT


def test_a_file_of_one_torn_line(filing: CasConfig, log: Log) -> None:
    """Nothing of it stays."""
    log.path.parent.mkdir()
    log.path.write_bytes(b"x" * 200_000)
    with Cas(filing) as cas:
        assert log.outcome(cas) is Outcome.CORRECT


@pytest.mark.parametrize("kind", ["link", "directory", "pipe"])
def test_files_that_are_none(filing: CasConfig, log: Log, kind: str) -> None:
    """The log is not written through links, nor into anything but a file."""
    log.path.parent.mkdir()
    match kind:
        case "link":
            log.path.symlink_to(log.path.with_name("elsewhere"))
        case "directory":
            log.path.mkdir()
        case _:
            os.mkfifo(log.path)
    with pytest.raises(EnvironmentFault):
        Cas(filing)
    assert not log.path.with_name("elsewhere").exists()


def test_checkpoints(filing: CasConfig, log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    """The database keeps every 250th entry's place if no more is wished (here: every 25th)."""
    assert (rows.CHECKPOINT_EVERY, vars(journal)["CHECKPOINT_EVERY"], rows.CHECKPOINTS_MAX) == (250, 250, 100)
    for module in (rows, journal):
        monkeypatch.setattr(module, "CHECKPOINT_EVERY", 25)
    sparse = replace(filing, audit_log=AuditLogConfig(sink=ToFile(), keep=Keep.CHECKPOINTS))
    with Cas(sparse) as cas:
        for number in range(2, 61):
            with cas.store.changing() as change:
                change.audit("session_read", {"session": str(number)})
        known = cas.audit.places(1, None)
        assert [place.sequence for place in known.checkpoints] == [25, 50]
        assert known.head.sequence == 60
        assert [place.sequence for place in cas.audit.places(26, 49).checkpoints] == []
        assert cas.audit.lines(1, None) == b""
        assert log.outcome(cas) is Outcome.CORRECT
        cut = log.path.with_name("cut")
        cut.write_bytes(b"".join(line + b"\n" for line in log.lines[:50]))
        assert log.verdict(cas, path=cut).outcome is Outcome.NEWEST_MISSING
        cut.write_bytes(b"".join(line + b"\n" for line in log.lines[:51]))
        assert log.verdict(cas, path=cut).outcome is Outcome.ROLLBACK_POSSIBLE


def test_rotation_leaves_a_checkpoint(filing: CasConfig, log: Log, alice: KeyHash) -> None:
    """The last entry of a file is known to the CAS, wherever it falls."""
    sparse = replace(filing, audit_log=AuditLogConfig(sink=ToFile(), keep=Keep.CHECKPOINTS))
    with Cas(sparse) as cas:
        old = log.path.rename(log.path.with_name("cas_audit.log.1"))
        cas.sessions.post(document(), alice)
        assert [place.sequence for place in cas.audit.places(1, 1).checkpoints] == [1]
        known_to = log.verdict(cas, path=old)
        assert known_to.outcome in {Outcome.NEWEST_MISSING, Outcome.ROLLBACK_POSSIBLE}


@pytest.mark.root
def test_a_full_disk_stops_changes(filing: CasConfig, small_disk: Path, alice: KeyHash) -> None:
    """A change that cannot be logged is refused as a whole, with what to do; with room, all goes on."""
    path = small_disk / "cas_audit.log"
    with Cas(replace(filing, audit_path=path)) as cas:
        ballast = _fill(small_disk)
        _exhaust(cas, path)
        before = path.read_bytes()
        with pytest.raises(EnvironmentFault, match="nothing is done that cannot be logged") as caught:
            cas.sessions.post(document("full"), alice)
        assert any("cannot be written: No space left on device" in str(cause) for cause in causes(caught.value))
        with pytest.raises(NotFoundError):
            cas.sessions.read("full", alice)
        assert path.read_bytes() == before
        ballast.unlink()
        cas.sessions.post(document("full"), alice)
        assert cas.sessions.read("full", alice).generation == 1
        assert Log(path=path).outcome(cas) is Outcome.CORRECT


@pytest.mark.root
def test_a_full_disk_under_a_log_that_may_lose_entries(filing: CasConfig, small_disk: Path, alice: KeyHash) -> None:
    """Changes go on if the owner wishes so; the log says what it does not have, after a restart too."""
    path = small_disk / "cas_audit.log"
    wish = AuditLogConfig(sink=ToFile(), on_full=OnFull.DROP_AND_COUNT)
    lossy = replace(filing, audit_path=path, audit_log=wish)
    with Cas(lossy) as cas:
        ballast = _fill(small_disk)
        _exhaust(cas, path)
        whole = len(path.read_bytes().splitlines())
        cas.sessions.post(document("one"), alice)
        cas.sessions.post(document("two"), alice)
        count = cas.audit_head().sequence + 1 - whole
    ballast.unlink()
    with Cas(lossy) as cas:
        cas.sessions.post(document("three"), alice)
        lines = [json.loads(line) for line in path.read_bytes().splitlines()][whole:]
        dropped, started, _ = lines[0]["events"]
        told = {"count": str(count), "first": str(whole + 1), "last": str(whole + count)}
        assert dropped == {"event": "audit_log_entries_dropped", **told}
        assert started["event"] == "cas_started"
        assert [event["event"] for event in lines[1]["events"]] == ["session_created"]
        assert [entry.event for entry in cas.audit_log()].count("session_created") == 3
        assert Log(path=path).outcome(cas) is Outcome.ROLLBACK_OR_MISSING


@pytest.mark.root
def test_a_transaction_that_fails_after_its_entry(
    filing: CasConfig, small_disk: Path, log: Log, tmp_path: Path, alice: KeyHash
) -> None:
    """The database's disk is full and the log's is not: the log says too much by one entry, and that shows."""
    files = replace(filing, database=small_disk / "cas" / "cas.db", master_key=tmp_path / "master.key")
    with Cas(files) as cas:
        ballast = _fill(small_disk)
        with pytest.raises(EnvironmentFault):
            cas.sessions.post(document("large", variable="y" * 200_000), alice)
        ballast.unlink()
        cas.sessions.post(document("x"), alice)
        verdict = log.verdict(cas)
        assert verdict.outcome is Outcome.FAILED_TRANSACTION
        failed = [entry for entry, status in verdict.entries if status is Status.ROLLED_BACK]
        assert [event.facts["session"] for entry in failed for event in entry.events] == ["large"]


def test_the_configuration_file(tmp_path: Path) -> None:
    """The operator says where the file is, and how the log is written as long as no owner does."""
    from bannock.cas import load_config  # noqa: PLC0415

    path = tmp_path / "cas.toml"
    path.write_text('[audit_log]\npath = "/var/log/cas/audit/cas_audit.log"\nmode = "signed"\n')
    config = load_config(path, home=tmp_path)
    assert str(config.audit_path) == "/var/log/cas/audit/cas_audit.log"
    assert config.audit_log == AuditLogConfig(sink=ToFile())
    path.write_text('[audit_log]\npath = "/x"\n')
    assert load_config(path, home=tmp_path).audit_log == AuditLogConfig()
    path.write_text('[audit_log]\nmode = "on"\n')
    with pytest.raises(InputError, match=r"audit_log\.mode is"):
        load_config(path, home=tmp_path)


def test_all_processes_write_in_one_way(filing: CasConfig, log: Log, alice: KeyHash) -> None:
    """What one process of a CAS is told, the others follow from their next entry on."""
    unsigned = AuditLogConfig(mode=Mode.UNSIGNED, sink=ToFile())
    with Cas(filing) as first, Cas(filing) as second:
        second.audit.configure(unsigned)
        first.sessions.post(document("one"), alice)
        assert [json.loads(line)["signature"] is None for line in log.lines] == [False, False, True, True]
        first.audit.configure(AuditLogConfig(mode=Mode.DISABLED))
        first.sessions.post(document("two"), alice)
        second.sessions.post(document("three"), alice)
        assert len(log.lines) == 5
        second.audit.configure(AuditLogConfig(sink=ToFile()))
        first.sessions.post(document("four"), alice)
        assert len(log.lines) == 7
    assert AuditLogConfig.from_mapping(unsigned.to_mapping()) == unsigned


def test_a_new_sink_gets_what_was_before(cas: Cas, config: CasConfig, alice: KeyHash) -> None:
    """A log that goes to a file from some time on is complete there."""
    path = config.database.parent / "cas_audit.log"
    cas.sessions.post(document(), alice)
    cas.audit.configure(AuditLogConfig(sink=ToFile()))
    cas.sessions.read("demo", alice)
    assert Log(path=path).outcome(cas) is Outcome.CORRECT
    assert _events(Log(path=path)) == ["cas_started", "session_created", "audit_log_enabled", "session_read"]


def test_the_newest_hundred_checkpoints_are_told(cas: Cas, monkeypatch: pytest.MonkeyPatch) -> None:
    """More are not; the verification finds what leads to them by the entries in between."""
    monkeypatch.setattr(rows, "CHECKPOINT_EVERY", 1)
    monkeypatch.setattr(rows, "CHECKPOINTS_MAX", 10)
    for _ in range(19):
        cas.store.tell("session_read", {})
    assert [place.sequence for place in cas.audit.places(1, 18).checkpoints] == list(range(9, 19))
    assert [place.sequence for place in cas.audit.places(15, 18).checkpoints] == [15, 16, 17, 18]
    assert [place.sequence for place in cas.audit.places(1, 10**12).checkpoints] == list(range(11, 20))
