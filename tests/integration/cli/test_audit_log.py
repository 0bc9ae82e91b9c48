"""``scone cas verify-audit-log``: real logs of a real CAS, and what each damage to them, or to the CAS, leads to."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import pytest

from bannock.cas import EmbeddedCas
from bannock.files import write_atomically
from bannock.net.client import connect
from bannock.net.tls import Identity
from tests.unit.cas.documents import document

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.integration.cli.conftest import Answer, Scone

_CONFIG: Final = '[audit_log]\nmode = "signed"\nsink = "file"\n'


@dataclass(kw_only=True)
class Site:
    """A CAS with its owner, its files and the command that verifies its log."""

    directory: Path
    owner: Identity
    identity: Path
    scone: Scone
    cas: EmbeddedCas
    running: bool = True

    @property
    def log(self) -> Path:
        """The log."""
        return self.directory / "cas_audit.log"

    @property
    def lines(self) -> list[bytes]:
        """The lines of the log, with their ends."""
        return self.log.read_bytes().splitlines(keepends=True)

    def work(self, *names: str) -> None:
        """Let the CAS do something, an entry for each."""
        with connect(*self.cas.client_address, self.owner, expected_peer=self.cas.key_hash) as client:
            for name in names:
                answer = client.request("POST", "/session", document(name).encode())
                assert answer.status == 201, answer.body

    def verify(self, *options: str, log: Path | None = None, cas: EmbeddedCas | None = None) -> Answer:
        """Verify the log, or another file, as the owner."""
        cas = cas or self.cas
        which = ("--cas", str(cas.client_address), "-c", str(cas.key_hash))
        return self.scone(
            "cas", "verify-audit-log", str(log or self.log), *which, "--identity", str(self.identity), *options
        )

    def stop(self) -> None:
        """End the CAS in good order."""
        if self.running:
            self.running = False
            self.cas.close()

    def kill(self) -> None:
        """End the CAS without a word."""
        self.running = False
        self.cas._server.stop()
        self.cas.cas.store.close()

    def start(self) -> None:
        """Start it again."""
        self.cas, self.running = EmbeddedCas(self.directory), True

    def save(self, place: Path) -> None:
        """Keep a copy of everything that the stopped CAS has, but for its log."""
        shutil.copytree(self.directory, place, ignore=shutil.ignore_patterns("cas_audit.log"))

    def roll_back(self, place: Path) -> None:
        """Put such a copy in place of what the stopped CAS has."""
        for file in self.directory.iterdir():
            if file.name != "cas_audit.log":
                file.unlink()
        shutil.copytree(place, self.directory, dirs_exist_ok=True)


@pytest.fixture
def site(tmp_path: Path, scone: Scone) -> Iterator[Site]:
    """A CAS whose owner wishes for a log in a file, and who has made three sessions."""
    owner = Identity.generate("owner")
    write_atomically(tmp_path / "owner.pem", owner.to_pem().reveal())
    directory = tmp_path / "cas"
    made = Site(
        directory=directory, owner=owner, identity=tmp_path / "owner.pem", scone=scone, cas=EmbeddedCas(directory)
    )
    claim(made.cas, owner)
    made.work("one", "two", "three")
    yield made
    made.stop()


def claim(cas: EmbeddedCas, owner: Identity) -> None:
    """Become the owner of a CAS that logs to a file."""
    with connect(*cas.client_address, owner, expected_peer=cas.key_hash) as client:
        client.request_json("POST", "/v1/owner/provision", {"token": cas.cas.owner.token, "config": _CONFIG})


def _change(lines: list[bytes]) -> list[bytes]:
    return [*lines[:2], lines[2].replace(b"2026", b"2027").replace(b"session", b"sessiom"), *lines[3:]]


def test_a_correct_log(site: Site) -> None:
    """It is told on standard error, and nothing on standard output."""
    answer = site.verify()
    assert (answer.code, answer.out) == (0, "")
    assert re.fullmatch(r"The audit log is correct: 6 entries, \d+ events\n", answer.err)


def test_a_log_for_people(site: Site) -> None:
    """Each event has a line, with what became of it."""
    answer = site.verify("-p")
    assert answer.code == 0
    lines = answer.out.splitlines()
    assert re.fullmatch(
        r" +5  \d{4}-\d\d-\d\d \d\d:\d\d:\d\d  session_created  .* session=two  \[not rolled back\]",
        lines[-2],
    )
    assert not [line for line in lines if "CERTIFICATE" in line]


def test_a_log_for_programs(site: Site) -> None:
    """The verdict, and with -p each event; a log that is cut has the verdict's code as the exit code."""
    answer = site.verify("-p", "--json")
    verdict = json.loads(answer.out)
    assert (answer.code, answer.err) == (0, "")
    assert (verdict["code"], verdict["entries"], verdict["findings"]) == (0, 6, [])
    assert verdict["log"][-2]["event"] == "session_created"
    assert "CERTIFICATE" not in answer.out
    log = site.log
    log.write_bytes(b"".join(log.read_bytes().splitlines(keepends=True)[:-1]))
    answer = site.verify("--json")
    verdict = json.loads(answer.out)
    assert answer.code == verdict["code"] == 14
    assert "log" not in verdict
    assert any("does not have entry 6" in finding["found"] for finding in verdict["findings"])


@pytest.mark.parametrize(
    ("code", "damage", "said"),
    [
        (20, _change, "line 3: "),
        (20, lambda lines: [*lines, b"\n"], "line 7: "),
        (20, lambda lines: [*lines[:-1], lines[-1][:200]], "line 6: this is not an entry"),
        (17, lambda lines: [*lines[:2], *lines[3:]], "does not lead to what the CAS has now"),
        (17, lambda lines: [*lines[:1], *lines[3:]], "does not lead to what the CAS has now"),
        (15, lambda lines: lines[2:], "the log begins with entry 3"),
        (14, lambda lines: lines[:-1], "the log does not have entry 6"),
        (14, lambda lines: lines[:1], "it ends with entry 1"),
        (14, lambda _: [], "it ends with nothing"),
        (0, lambda lines: lines[::-1], "The audit log is correct"),
    ],
)
def test_damage_to_the_log(site: Site, code: int, damage: Callable[[list[bytes]], list[bytes]], said: str) -> None:
    """What is changed, deleted or cut has its exit code, and the place is told."""
    site.log.write_bytes(b"".join(damage(site.lines)))
    answer = site.verify()
    assert answer.code == code, answer.err
    assert said in answer.err


def test_a_cas_that_cannot_be_asked(site: Site) -> None:
    """A rollback cannot be ruled out; whether the log is authentic is told nevertheless."""
    site.stop()
    answer = site.verify()
    assert answer.code == 16
    assert "the CAS cannot be asked: cannot reach CAS at" in answer.err
    site.log.write_bytes(b"".join(_change(site.lines)))
    assert site.verify().code == 20


def test_a_cas_that_was_rolled_back(site: Site, tmp_path: Path) -> None:
    """What the CAS has done and does not know any more is in the log, whether it went on since or not."""
    site.stop()
    site.save(tmp_path / "copy")
    site.start()
    site.work("four", "five")
    site.stop()
    site.roll_back(tmp_path / "copy")
    site.start()
    answer = site.verify("-p")
    assert answer.code == 18, answer.err
    assert len(re.findall(r"session_created .* session=(?:four|five)  \[rolled back\]", answer.out)) == 2
    site.work("six")
    assert site.verify().code == 18


def test_a_cas_that_was_killed_in_a_transaction(site: Site, tmp_path: Path) -> None:
    """An entry that was written and not committed is told, and is no rollback."""
    site.stop()
    site.save(tmp_path / "copy")
    site.start()
    site.kill()
    site.roll_back(tmp_path / "copy")  # as it is after a power cut between the log and the database
    site.start()
    answer = site.verify()
    assert answer.code == 10, answer.err
    assert "is of a transaction that failed" in answer.err
    site.work("four")
    assert site.verify().code == 10


def test_the_log_of_another_cas(site: Site, tmp_path: Path) -> None:
    """A log is not taken for that of a CAS that did not write it."""
    with EmbeddedCas(tmp_path / "other") as other:
        claim(other, site.owner)
        answer = site.verify(cas=other)
    assert answer.code == 19
    assert f"the audit log is of the CAS {site.cas.key_hash}, expected {other.key_hash}" in answer.err


def test_logs_that_were_rotated(site: Site, tmp_path: Path) -> None:
    """Each is verified with the signatures that its neighbours have."""
    old = site.log.rename(tmp_path / "cas_audit.log.1")
    site.work("four", "five")
    before = json.loads(old.read_bytes().splitlines()[-1])["signature"]
    assert json.loads(site.lines[0])["predecessor"] == before
    assert site.verify("--predecessor", before).code == 0
    assert site.verify().code == 15
    assert site.verify("--last", before, log=old).code == 0
    assert site.verify(log=old).code == 14
    assert site.verify("--last", before[::-1], log=old).code == 14
    assert site.verify("--predecessor", "00" * 64).code == 15
    assert site.verify("--predecessor", "xy").code == 2


def test_the_log_in_the_database(site: Site, tmp_path: Path) -> None:
    """The owner gets the very lines from the CAS, in parts."""
    with connect(*site.cas.client_address, site.owner, expected_peer=site.cas.key_hash) as client:
        first = client.request("GET", "/v1/owner/audit/log?to=2")
        rest = client.request("GET", "/v1/owner/audit/log?from=3")
    assert first.headers["content-type"] == "application/x-ndjson"
    assert len(first.body.splitlines()) == 2
    (tmp_path / "log").write_bytes(first.body + rest.body)
    assert site.verify(log=tmp_path / "log").code == 0


def test_who_may_not_ask(site: Site, tmp_path: Path) -> None:
    """Others than the owner learn nothing from the CAS, and that is no verdict on the log."""
    stranger = Identity.generate("stranger")
    write_atomically(tmp_path / "stranger.pem", stranger.to_pem().reveal())
    answer = site.verify("--identity", str(tmp_path / "stranger.pem"))
    assert answer.code == 30
    assert "only the owner of this CAS may do this" in answer.err
    for who in (stranger, None):
        with connect(*site.cas.client_address, who, expected_peer=site.cas.key_hash) as client:
            assert client.request("GET", "/v1/owner/audit").status == 403
            assert client.request("GET", "/v1/owner/audit/log").status == 403


def test_what_cannot_be_verified(site: Site, tmp_path: Path) -> None:
    """A file that is not there, and a CAS that nobody attested, are errors of the command."""
    assert site.verify(log=tmp_path / "nothing").code == 2
    assert site.scone("cas", "verify-audit-log", str(site.log)).code == 2
    assert site.scone("cas", "verify-audit-log", str(site.log), "-c", str(site.cas.key_hash)).code == 2


def test_a_log_that_is_written_meanwhile(site: Site) -> None:
    """A busy CAS is no reason for a verdict."""
    from threading import Event, Thread  # noqa: PLC0415

    stop = Event()

    def work() -> None:
        number = 0
        while not stop.is_set():
            site.work(f"busy{number}")
            number += 1

    thread = Thread(target=work)
    thread.start()
    try:
        assert [site.verify().code for _ in range(5)] == [0] * 5
    finally:
        stop.set()
        thread.join()


def _attest(site: Site, *options: str) -> Answer:
    which = ("--cas", str(site.cas.client_address), "-c", str(site.cas.key_hash), "--identity", str(site.identity))
    return site.scone("cas", "attest-audit-log", str(site.log), *which, *options)


def test_the_reports_in_a_log(site: Site) -> None:
    """The key that signs the log is attested, by evidence of the software that is expected."""
    measurement = str(site.cas.cas.self_attestation.measurement)
    assert _attest(site, "-GCS", "--only_for_testing-debug").code == 0
    assert _attest(site, "--only_for_testing-debug", "--mrenclave", measurement).code == 0
    assert _attest(site, "--only_for_testing-debug", "--", measurement).code == 0
    other = _attest(site, "--only_for_testing-debug", "--mrenclave", "ab" * 32)
    assert other.code == 19
    assert f"Enclave hash does not match expectation: expected {'ab' * 32}, found {measurement}" in other.err
    simulated = _attest(site)
    assert simulated.code == 19
    assert "platform sim" in simulated.err


def test_a_log_without_reports(site: Site) -> None:
    """Where the entries with the reports are gone, the key is certified and not attested."""
    site.work("four")
    without = [line for line in site.lines if b'"audit_log_attestation_report"' not in line]
    predecessor = json.loads(without[0])["predecessor"]
    site.log.write_bytes(b"".join(without))
    assert site.verify("--predecessor", predecessor).code == 0
    answer = _attest(site, "--only_for_testing-debug", "--predecessor", predecessor)
    assert answer.code == 19
    assert "has no attestation report for it" in answer.err
