"""Genuine quotes and the collateral that vouches for them (``tests/data/evidence/README.md``)."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from bannock.evidence.dcap.verifier import verify_sgx, verify_tdx
from bannock.evidence.endorsements import Endorsements
from bannock.evidence.quotes import SgxQuote, TdxQuote

if TYPE_CHECKING:
    from bannock.evidence.appraisal import PlatformAppraisal

DIRECTORY: Final = Path(__file__).parents[3] / "data" / "evidence" / "dcap"
NAMES: Final = sorted(each.name.removesuffix(".quote") for each in DIRECTORY.glob("*.quote"))
#: Those that prove something.
GOOD: Final = (
    "sgx-v3-config-and-swhardening",
    "sgx-v3-debug",
    "sgx-v3-swhardening",
    "tdx-v4-outofdate",
    "tdx-v4-uptodate",
)


def quote(name: str) -> bytes:
    """Give a quote."""
    return (DIRECTORY / f"{name}.quote").read_bytes()


def collateral(name: str) -> str:
    """Give what vouches for it."""
    return (DIRECTORY / f"{name}.collateral.json").read_text(encoding="utf-8")


def expected(name: str) -> dict[str, Any]:
    """Give the verdict of dcap-qvl."""
    document: dict[str, Any] = json.loads((DIRECTORY / f"{name}.expect.json").read_text(encoding="utf-8"))
    return document


def time_of(name: str) -> datetime:
    """Give the time at which it is to be verified."""
    return datetime.fromtimestamp(expected(name)["verify_at"], UTC)


def appraise(
    name: str, data: bytes | None = None, *, at: datetime | None = None, dcap: tuple[str, ...] | None = None
) -> PlatformAppraisal:
    """Verify a sample, or other bytes in its place."""
    endorsements = Endorsements(dcap=(collateral(name),) if dcap is None else dcap)
    data, at = quote(name) if data is None else data, at or time_of(name)
    if name.startswith("sgx"):
        return verify_sgx(SgxQuote(quote=data), endorsements, at)
    return verify_tdx(TdxQuote(key=b"", quote=data), endorsements, at)
