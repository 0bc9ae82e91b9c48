"""Genuine reports and the certificates that vouch for them (``tests/data/evidence/README.md``)."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bannock.evidence.endorsements import Endorsements
from bannock.evidence.quotes import SnpQuote
from bannock.evidence.snp.verifier import verify_snp

if TYPE_CHECKING:
    from bannock.evidence.appraisal import PlatformAppraisal

DIRECTORY: Final = Path(__file__).parents[3] / "data" / "evidence" / "snp"
AT: Final = datetime(2025, 6, 1, tzinfo=UTC)
#: Report → certificate of the key that signed it.
SAMPLES: Final = {
    "milan-v2.report": "milan-v2.vcek.der",
    "milan-v3-vlek.report": "milan-v3-vlek.vlek.der",
    "milan-debug-policy.report": "milan-debug-policy.vcek",
}


def read(name: str) -> bytes:
    """Give a file of the samples."""
    return (DIRECTORY / name).read_bytes()


def appraise(
    report: bytes, *certificates: bytes, at: datetime = AT, crls: tuple[bytes, ...] = ()
) -> PlatformAppraisal:
    """Verify a report with what is given beside what is built in."""
    return verify_snp(SnpQuote(key=b"", report=report), Endorsements(certificates=certificates, crls=crls), at)
