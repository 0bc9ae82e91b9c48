"""A CAS whose audit log goes to a file, and the verification of that file."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pytest

from bannock.cas import Cas, CasConfig
from bannock.cas.audit.config import AuditLogConfig, ToFile
from bannock.cas.audit.verification import numbers, split_lines, verify_log

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from bannock.cas.audit.findings import Outcome, Verdict


@dataclass(frozen=True, kw_only=True)
class Log:
    """The file that a CAS logs to."""

    path: Path

    @property
    def lines(self) -> list[bytes]:
        """Give its lines."""
        return split_lines(self.path.read_bytes())

    def verdict(
        self, cas: Cas, *, path: Path | None = None, predecessor: bytes = b"", last: bytes | None = None
    ) -> Verdict:
        """Verify it, or a file that was made of it, with what the CAS knows."""
        lines = split_lines((path or self.path).read_bytes())
        return verify_log(
            lines,
            expected=[cas.key_hash],
            history=cas.audit.places(*numbers(lines)),
            predecessor=predecessor,
            last=last,
        )

    def outcome(self, cas: Cas) -> Outcome:
        """Verify it."""
        return self.verdict(cas).outcome


@pytest.fixture
def log(tmp_path: Path) -> Log:
    """The file."""
    return Log(path=tmp_path / "log" / "cas_audit.log")


@pytest.fixture
def filing(config: CasConfig, log: Log) -> CasConfig:
    """The configuration of a CAS that logs to the file."""
    return replace(config, audit_log=AuditLogConfig(sink=ToFile()), audit_path=log.path)


@pytest.fixture
def filer(filing: CasConfig) -> Iterator[Cas]:
    """A CAS that logs to the file."""
    with Cas(filing) as opened:
        yield opened


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of a mebibyte that is nobody else's."""
    place = tmp_path / "disk"
    place.mkdir()
    subprocess.run(["/bin/mount", "-t", "tmpfs", "-o", "size=1m,mode=700", "tmpfs", str(place)], check=True)
    try:
        yield place
    finally:
        subprocess.run(["/bin/umount", str(place)], check=True)
