"""Quotes: what vouches for whoever signed a report, one kind a platform, and their form in an envelope. Pure.

Light to import: a runtime and a LAS put quotes together, and only verifiers look into them.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, ClassVar, Final, TypeAlias

from bannock.errors import EvidenceError
from bannock.evidence.base64_text import to_bytes, to_text
from bannock.policy.claims import SIMULATED

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bannock.policy.canonical import JsonValue

__all__ = ["Quote", "SgxQuote", "SimQuote", "SnpQuote", "TdxQuote", "TpmQuote", "quote_from_json", "quote_to_json"]

_ENTRIES_MAX: Final = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class SimQuote:
    """The quote of platform ``sim``: a key that vouches for itself.

    Attributes:
        key: DER SubjectPublicKeyInfo (Ed25519) of the LAS.
    """

    platform: ClassVar[str] = SIMULATED
    key: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class SgxQuote:
    """The quote of an SGX enclave, which carries the report itself: nobody else signs it.

    Attributes:
        quote: ECDSA quote, version 3 (Intel SGX ECDSA QuoteLibReference), with its certification data.
    """

    platform: ClassVar[str] = "sgx"
    quote: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class TdxQuote:
    """The quote of a trust domain for the key of the LAS in it.

    Attributes:
        key: DER SubjectPublicKeyInfo (Ed25519) of the LAS; REPORTDATA is bound to it.
        quote: ECDSA quote, version 4 or 5 (Intel TDX DCAP Quoting Library API).
    """

    platform: ClassVar[str] = "tdx"
    key: bytes
    quote: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class SnpQuote:
    """The attestation report of an SEV-SNP guest for the key of the LAS in it.

    Attributes:
        key: DER SubjectPublicKeyInfo (Ed25519) of the LAS; REPORT_DATA is bound to it.
        report: ATTESTATION_REPORT (AMD 56860, table 23), 1184 bytes.
    """

    platform: ClassVar[str] = "sev-snp"
    key: bytes
    report: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class TpmQuote:
    """The quote of a TPM 2 for the key of the LAS on its machine.

    Attributes:
        key: DER SubjectPublicKeyInfo (Ed25519) of the LAS; the qualifying data are bound to it.
        attest: TPMS_ATTEST.
        signature: TPMT_SIGNATURE over it.
        ak_public: TPMT_PUBLIC of the attestation key.
        ak_certificates: DER: certificates of the attestation key, by authorities that checked that it is in a TPM.
        ek_certificates: DER: of the endorsement key, and of its issuers.
        pcrs: canonical JSON: bank → index → digest in hexadecimal.
        event_log: of the firmware (TCG PC Client Platform Firmware Profile), or nothing.
    """

    platform: ClassVar[str] = "tpm"
    key: bytes
    attest: bytes
    signature: bytes
    ak_public: bytes
    ak_certificates: tuple[bytes, ...] = ()
    ek_certificates: tuple[bytes, ...] = ()
    pcrs: bytes
    event_log: bytes = b""


Quote: TypeAlias = SimQuote | SgxQuote | TdxQuote | SnpQuote | TpmQuote
_KINDS: Final[Mapping[str, type[Quote]]] = {
    kind.platform: kind for kind in (SimQuote, SgxQuote, TdxQuote, SnpQuote, TpmQuote)
}


def quote_to_json(quote: Quote) -> dict[str, JsonValue]:
    """Give a quote as it stands in an envelope: its platform, and its parts in base64."""
    document: dict[str, JsonValue] = {"platform": quote.platform}
    for each in fields(quote):
        value: bytes | tuple[bytes, ...] = getattr(quote, each.name)
        document[each.name] = to_text(value) if isinstance(value, bytes) else [to_text(one) for one in value]
    return document


def quote_from_json(document: object) -> Quote:
    """Parse what :func:`quote_to_json` gives.

    Raises:
        EvidenceError: it is anything else.
    """
    if not isinstance(document, dict):
        raise EvidenceError("a quote is an object")
    platform = document.get("platform")
    kind = _KINDS.get(platform) if isinstance(platform, str) else None
    if kind is None:
        raise EvidenceError(f"evidence of platform {str(platform)[:40]!r} is not supported")
    names = {each.name for each in fields(kind)}
    if document.keys() != {"platform", *names}:
        raise EvidenceError(f"a quote of platform {platform} has the parts {', '.join(sorted(names))}")
    parts: dict[str, Any] = {name: _decoded(document[name], name) for name in names}
    return kind(**parts)


def _decoded(value: object, name: str) -> bytes | tuple[bytes, ...]:
    many = name in {"ak_certificates", "ek_certificates"}
    if many and isinstance(value, list) and len(value) <= _ENTRIES_MAX:
        return tuple(to_bytes(each, name) for each in value)
    if many:
        raise EvidenceError(f"{name} of a quote is a list of at most {_ENTRIES_MAX} certificates")
    return to_bytes(value, name)
