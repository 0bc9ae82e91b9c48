"""What is appraised: genuine evidence (tests/data/evidence) at a time when it holds, and a make-believe TPM's."""

from __future__ import annotations

import datetime as dt
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import dcap_qvl

from bannock.evidence.endorsements import Endorsements
from bannock.evidence.quotes import SgxQuote, SnpQuote, TdxQuote
from bannock.evidence.rehearsal.tpm import TpmVendor
from bannock.evidence.verifier import verify_quote

if TYPE_CHECKING:
    from collections.abc import Callable

    from bannock.evidence.quotes import Quote

__all__ = ["DCAP_QVL", "DCAP_QVL_VERSION", "Sample", "samples"]

DCAP_QVL: Final = "dcap-qvl"
DCAP_QVL_VERSION: Final[str] = dcap_qvl.version(DCAP_QVL)
_DATA: Final = Path(__file__).parents[2] / "tests" / "data" / "evidence"
_NO_KEY: Final = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One piece of evidence.

    Attributes:
        name: what it is.
        ours: appraises it once.
        peer: has another verifier do the same, where there is one.
    """

    name: str
    ours: Callable[[], object]
    peer: Callable[[], object] | None = None


def samples() -> list[Sample]:
    """Give one of each platform."""
    return [
        _dcap("SGX quote, version 3", "sgx-v3-swhardening"),
        _dcap("TDX quote, version 4", "tdx-v4-uptodate"),
        _snp("SEV-SNP report, version 2, VCEK", "milan-v2.report", "milan-v2.vcek.der", 2024),
        _snp("SEV-SNP report, version 3, VLEK", "milan-v3-vlek.report", "milan-v3-vlek.vlek.der", 2025),
        _tpm(),
    ]


def _dcap(name: str, file: str) -> Sample:
    data = (_DATA / "dcap" / f"{file}.quote").read_bytes()
    collateral = (_DATA / "dcap" / f"{file}.collateral.json").read_text(encoding="utf-8")
    seconds: int = json.loads((_DATA / "dcap" / f"{file}.expect.json").read_text(encoding="utf-8"))["verify_at"]
    quote = SgxQuote(quote=data) if file.startswith("sgx") else TdxQuote(key=_NO_KEY, quote=data)
    known = dcap_qvl.QuoteCollateralV3.from_json(collateral)
    return Sample(
        name=name,
        ours=_appraising(quote, Endorsements(dcap=(collateral,)), dt.datetime.fromtimestamp(seconds, dt.UTC)),
        peer=lambda: dcap_qvl.verify(data, known, seconds),
    )


def _snp(name: str, report: str, certificate: str, year: int) -> Sample:
    quote = SnpQuote(key=_NO_KEY, report=(_DATA / "snp" / report).read_bytes())
    endorsements = Endorsements(certificates=((_DATA / "snp" / certificate).read_bytes(),))
    return Sample(name=name, ours=_appraising(quote, endorsements, dt.datetime(year, 6, 1, tzinfo=dt.UTC)))


def _tpm() -> Sample:
    at = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    quote, along = TpmVendor(os.urandom, at).quote(_NO_KEY, machine={})
    return Sample(name="TPM 2 quote", ours=_appraising(quote, Endorsements.from_json(along), at))


def _appraising(quote: Quote, endorsements: Endorsements, at: dt.datetime) -> Callable[[], object]:
    return lambda: verify_quote(quote, endorsements, at)
