"""What a CAS says of itself in its log, also where the log, or the attestation of its key, does not work at first."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

from bannock.cas.audit.config import AuditLogConfig, DatabaseOnly, ToFile
from bannock.cas.audit.findings import Outcome
from bannock.cas.audit.log import AuditLog
from bannock.errors import EnvironmentFault

if TYPE_CHECKING:
    import pytest

    from bannock.cas import Cas
    from tests.unit.cas.audit.conftest import Log

_ROOT = Path(__file__).parents[4]


class _Attester:
    """Gives evidence, if it can."""

    can = False

    def evidence(self, data: bytes) -> bytes:
        """Give it."""
        if not self.can:
            raise EnvironmentFault("there is no LAS")
        return data.hex().encode()


def _events(cas: Cas) -> list[str]:
    return [entry.event for entry in cas.audit_log()]


def test_a_key_that_cannot_be_attested_at_once(cas: Cas, caplog: pytest.LogCaptureFixture) -> None:
    """The CAS starts, says so, and tries again; the log has the report when it is to be had."""
    attester = _Attester()
    audit = AuditLog(cas.store, attester)
    audit.start(AuditLogConfig())
    assert "the key of the audit log is not attested yet: there is no LAS" in caplog.text
    timer = audit._attesting
    assert timer is not None
    timer.cancel()
    audit._report_late()
    assert audit._attesting is not None  # it goes on trying
    audit._attesting.cancel()
    attester.can = True
    audit._report_late()
    assert _events(cas)[2:] == ["cas_started", "audit_log_attestation_report"]
    audit.close()


def test_a_cas_without_a_log_attests_no_key(cas: Cas) -> None:
    """Nobody asks for it."""
    audit = AuditLog(cas.store, _Attester())
    audit.configure(AuditLogConfig.from_mapping({"mode": "unsigned", "sink": "database"}))
    assert audit._attesting is None
    audit.close()


def test_what_nobody_waits_for_is_told_soon(cas: Cas) -> None:
    """And at the end at the latest, in one entry."""
    for number in range(3):
        cas.audit.gather("service_exited", {"session": str(number)})
    cas.audit.close()
    told = [(entry.sequence, entry.event) for entry in cas.audit_log()][2:]
    assert told == [(2, "service_exited"), (2, "service_exited"), (2, "service_exited"), (3, "cas_exited")]


def test_what_nobody_waits_for_waits_for_the_log(filer: Cas, log: Log, caplog: pytest.LogCaptureFixture) -> None:
    """A log that takes no entry gets it later."""
    content = log.path.read_bytes()
    log.path.unlink()
    log.path.mkdir()
    filer.audit.gather("service_exited", {"session": "demo"})
    filer.audit._flush()
    assert "the audit log does not say yet what nobody waits for" in caplog.text
    log.path.rmdir()
    log.path.write_bytes(content)
    filer.audit._flush()
    assert _events(filer)[2:] == ["service_exited"]
    assert log.outcome(filer) is Outcome.CORRECT


def test_a_log_that_takes_no_entry_does_not_hold_up_the_end(
    filer: Cas, log: Log, caplog: pytest.LogCaptureFixture
) -> None:
    """The CAS closes, and its own log says why the audit log does not."""
    log.path.unlink()
    log.path.mkdir()
    filer.audit.close()
    assert "the audit log does not say that this CAS exited" in caplog.text
    assert "is not a regular file" in caplog.text or "Is a directory" in caplog.text
    filer.audit.configure(AuditLogConfig(sink=DatabaseOnly()))


def test_the_documentation_has_every_event() -> None:
    """docs/audit-log.md has a row for each event that the program tells of, and for no other."""
    source = "\n".join(path.read_text() for path in (_ROOT / "src" / "bannock" / "cas").rglob("*.py"))
    calls = r'(?:\.audit|\.gather|\.tell|_record)\(\s*(?:change,\s*)?"([a-z]+(?:_[a-z]+)+)"'
    told = {*re.findall(calls, source), *re.findall(r'(?:event=|EVENT: Final = )"([a-z]+(?:_[a-z]+)+)"', source)}
    _, table = (_ROOT / "docs" / "audit-log.md").read_text().split("| event | facts |\n")
    rows = re.findall(r"^\| (`[^|]*`) \|", table.partition("\n\n")[0], flags=re.MULTILINE)
    documented = {name for row in rows for name in re.findall(r"[a-z_]+", row)}
    assert told <= documented
    assert {name for name in documented if f'"{name}"' not in source} == set()


def test_the_documentation_s_configuration() -> None:
    """The example of docs/audit-log.md says what it says."""
    text = (_ROOT / "docs" / "audit-log.md").read_text()
    first = re.search(r"```toml\n(.*?)```", text, flags=re.DOTALL)
    assert first is not None
    assert AuditLogConfig.from_mapping(tomllib.loads(first[1])["audit_log"]) == AuditLogConfig(sink=ToFile())


def test_the_documentation_s_exit_codes() -> None:
    """docs/audit-log.md and the help of the command have every exit code."""
    from bannock.cli.audit_log_options import EXIT_CODES  # noqa: PLC0415

    codes = sorted(outcome.value for outcome in Outcome)
    text = (_ROOT / "docs" / "audit-log.md").read_text()
    assert sorted(int(code) for code in re.findall(r"^\| (\d+) \|", text, flags=re.MULTILINE)) == codes
    assert sorted(int(code) for code in re.findall(r"^ +(\d+)  ", EXIT_CODES, flags=re.MULTILINE)) == codes
