"""What Intel vouches for, as it is kept: collateral of one family of processors, and what it says of itself. Pure.

Nothing here is verified: that is for whoever relies on it. What is read here decides which collateral is asked for,
which of several is the newest, and when it has to be asked for again.
"""

from __future__ import annotations

import datetime as dt
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, Self, TypeAlias

from cryptography import x509

from bannock.errors import EvidenceError
from bannock.evidence.appraisal import Bound
from bannock.evidence.collateral.needs import IntelNeed
from bannock.evidence.collateral.x509_parts import MALFORMED

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["COLLATERAL_BYTES_MAX", "IntelCollateral", "newest"]

#: TCB info has some 20 KiB, and grows with every recovery.
COLLATERAL_BYTES_MAX: Final = 1 << 20
_TEXTS: Final = (
    "pck_crl_issuer_chain",
    "tcb_info_issuer_chain",
    "tcb_info",
    "qe_identity_issuer_chain",
    "qe_identity",
)
_HEX: Final = ("root_ca_crl", "pck_crl", "tcb_info_signature", "qe_identity_signature")
_FMSPC: Final = re.compile("[0-9A-Fa-f]{12}")
_TEES: Final[dict[tuple[str, str], Literal["sgx", "tdx"]]] = {("SGX", "QE"): "sgx", ("TDX", "TD_QE"): "tdx"}
_CAS: Final[dict[str, Literal["processor", "platform"]]] = {
    "Intel SGX PCK Processor CA": "processor",
    "Intel SGX PCK Platform CA": "platform",
}
_REFRESH: Final = "refresh the collateral: scone cas collateral import, or let the CAS ask the vendor"
#: What is compared to tell which collateral is newer: the number of the recovery first.
_Age: TypeAlias = tuple[int, dt.datetime, dt.datetime, dt.datetime, dt.datetime]


@dataclass(frozen=True, slots=True, kw_only=True)
class IntelCollateral:
    """Collateral of one family of processors.

    Attributes:
        need: what it answers.
        text: the JSON form of ``QuoteCollateralV3`` of dcap-qvl.
        age: greater is newer.
        bounds: when its parts end.
    """

    need: IntelNeed
    text: str
    age: _Age
    bounds: tuple[Bound, ...]

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read what collateral says of itself.

        Raises:
            EvidenceError: it is no collateral.
        """
        if len(text) > COLLATERAL_BYTES_MAX:
            raise EvidenceError(f"collateral has at most {COLLATERAL_BYTES_MAX} characters, found {len(text)}")
        try:
            return cls._read(text)
        except (*MALFORMED, KeyError, AttributeError, RecursionError) as error:
            raise EvidenceError("the collateral is malformed", hint="expected Intel's, as dcap-qvl has it") from error

    @classmethod
    def _read(cls, text: str) -> Self:
        document = json.loads(text)
        for name in (*_TEXTS, *_HEX):
            if not isinstance(document[name], str):
                raise TypeError(name)
        crls = {name: x509.load_der_x509_crl(bytes.fromhex(document[name])) for name in ("root_ca_crl", "pck_crl")}
        for name in ("tcb_info_signature", "qe_identity_signature"):
            bytes.fromhex(document[name])
        info, identity = json.loads(document["tcb_info"]), json.loads(document["qe_identity"])
        fmspc = info["fmspc"]
        if not isinstance(fmspc, str) or not _FMSPC.fullmatch(fmspc):
            raise EvidenceError("the TCB info names no FMSPC of 12 hexadecimal digits")
        issuer = _common_name(crls["pck_crl"].issuer)
        if issuer not in _CAS:
            raise EvidenceError(f"the PCK CRL is of no authority of PCK certificates: {issuer[:80]!r}")
        need = IntelNeed(tee=_TEES[info["id"], identity["id"]], fmspc=fmspc.upper(), ca=_CAS[issuer])
        dates = {name: _Dates.of(each) for name, each in (("info", info), ("identity", identity))}
        return cls(
            need=need,
            text=text,
            age=(
                _number(info["tcbEvaluationDataNumber"]),
                dates["info"].issued,
                dates["identity"].issued,
                crls["pck_crl"].last_update_utc,
                crls["root_ca_crl"].last_update_utc,
            ),
            bounds=(
                Bound(dates["info"].next_update, f"TCB info of {need} (nextUpdate)", _REFRESH),
                Bound(dates["identity"].next_update, f"QE identity of {need.tee.upper()} (nextUpdate)", _REFRESH),
                *(_crl_bound(f"{name} of {need}", crl) for name, crl in crls.items()),
                *(each for name in _TEXTS if name.endswith("_chain") for each in _chain_bounds(name, document[name])),
            ),
        )

    @property
    def evaluation(self) -> int:
        """The number of the TCB recovery that it takes into account (tcbEvaluationDataNumber)."""
        return self.age[0]

    @property
    def until(self) -> dt.datetime:
        """When the first of its parts ends."""
        return min(self.bounds).until


def newest(found: Iterable[IntelCollateral], need: IntelNeed) -> IntelCollateral | None:
    """Give the newest that answers a need: by the TCB recovery, then by the dates of issue."""
    return max((each for each in found if each.need == need), key=lambda each: each.age, default=None)


@dataclass(frozen=True, slots=True)
class _Dates:
    issued: dt.datetime
    next_update: dt.datetime

    @classmethod
    def of(cls, document: dict[str, Any]) -> Self:
        return cls(_date(document["issueDate"]), _date(document["nextUpdate"]))


def _date(text: str) -> dt.datetime:
    moment = dt.datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(text)
    return moment.astimezone(dt.UTC)


def _number(value: object) -> int:
    if type(value) is not int or value < 0:
        raise TypeError(value)
    return value


def _common_name(name: x509.Name) -> str:
    found = name.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    return str(found[0].value) if found else ""


def _crl_bound(what: str, crl: x509.CertificateRevocationList) -> Bound:
    until = crl.next_update_utc
    if until is None:
        raise ValueError(what)
    return Bound(until, f"{what.replace('_', ' ')} (nextUpdate)", _REFRESH)


def _chain_bounds(name: str, chain: str) -> list[Bound]:
    found = x509.load_pem_x509_certificates(chain.encode("ascii"))
    return [
        Bound(each.not_valid_after_utc, f"certificate {_common_name(each.subject)} in the {name} (notAfter)", _REFRESH)
        for each in found
    ]
