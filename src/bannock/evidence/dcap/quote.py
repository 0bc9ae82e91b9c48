"""ECDSA quotes of SGX and TDX, versions 3, 4 and 5, taken apart. Pure; nothing is verified here.

The structures are those of Intel's "SGX ECDSA Quote Library API" (version 3) and "TDX DCAP Quoting Library API"
(versions 4 and 5), appendices "Quote Format". Numbers are little-endian. Nothing is read before its length is checked.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Final

from bannock.errors import EvidenceError

__all__ = ["QUOTE_BYTES_MAX", "DcapQuote", "SgxReport", "TdReport", "pem_chain", "pem_of", "sgx_report"]

#: Quotes with their certificates have about 5 KiB; quoting services give them in buffers of 8000 bytes.
QUOTE_BYTES_MAX: Final = 16 << 10
_SGX_REPORT_BYTES: Final = 384
_TD_REPORT_BYTES: Final = 584
_TD_REPORT_15_BYTES: Final = 648
_TEE: Final = {0x00000000: "sgx", 0x00000081: "tdx"}
_ECDSA_P256: Final = 2
_INTEL_QE: Final = bytes.fromhex("939a7233f79c4ca9940a0db3957f0607")
#: Kinds of certification data: PEM of the PCK certificate with its issuers, and the report of the quoting enclave.
_PCK_CHAIN: Final = 5
_QE_REPORT: Final = 6
#: Kinds of bodies in quotes of version 5, with their lengths.
_BODIES: Final = {1: _SGX_REPORT_BYTES, 2: _TD_REPORT_BYTES, 3: _TD_REPORT_15_BYTES}
_VERSION_SGX: Final = 3
_VERSION_BODIES: Final = 5
_CERTIFICATES_MAX: Final = 8
_PEM_BEGIN: Final = "-----BEGIN CERTIFICATE-----\n"
_PEM_END: Final = "-----END CERTIFICATE-----\n"
_PEM_LINE: Final = 64
_DEBUG: Final = 0x02


@dataclass(frozen=True, slots=True, kw_only=True)
class SgxReport:
    """The body of the report of an SGX enclave (Intel SDM volume 3D, structure REPORT)."""

    cpu_svn: bytes
    misc_select: int
    attributes: bytes
    measurement: bytes
    signer: bytes
    product_id: int
    svn: int
    report_data: bytes

    @property
    def debug(self) -> bool:
        """Whether a debugger may look into the enclave."""
        return bool(self.attributes[0] & _DEBUG)


@dataclass(frozen=True, slots=True, kw_only=True)
class TdReport:
    """The body of the report of a trust domain (TDREPORT 1.0, and what 1.5 adds to it)."""

    tee_tcb_svn: bytes
    mrseam: bytes
    mrsignerseam: bytes
    seam_attributes: bytes
    td_attributes: bytes
    xfam: bytes
    mrtd: bytes
    mrconfigid: bytes
    mrowner: bytes
    mrownerconfig: bytes
    rtmrs: tuple[bytes, bytes, bytes, bytes]
    report_data: bytes
    tee_tcb_svn_2: bytes | None = None
    mr_service_td: bytes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DcapQuote:
    """A quote.

    Attributes:
        version: 3, 4 or 5.
        signed: header and body, which the attestation key signed.
        report: of the enclave or of the trust domain.
        signature: 64 bytes, r and s.
        attestation_key: 64 bytes, x and y on P-256.
        qe_report: of the quoting enclave, as it was signed.
        qe_report_signature: by the PCK.
        qe_auth_data: bound to the attestation key by the quoting enclave.
        certificates: DER: the PCK certificate, and its issuers up to a root.
    """

    version: int
    signed: bytes
    report: SgxReport | TdReport
    signature: bytes
    attestation_key: bytes
    qe_report: bytes
    qe_report_signature: bytes
    qe_auth_data: bytes
    certificates: tuple[bytes, ...]

    @property
    def tee(self) -> str:
        """The platform that it is of: ``sgx`` or ``tdx``."""
        return "sgx" if isinstance(self.report, SgxReport) else "tdx"

    @classmethod
    def parse(cls, data: bytes) -> DcapQuote:
        """Take a quote apart.

        Zeros may follow it, because quoting services answer with a buffer of fixed size, and nothing else.

        Raises:
            EvidenceError: it is anything but a quote, or one without the certificate of its PCK.
        """
        if len(data) > QUOTE_BYTES_MAX:
            raise EvidenceError(f"a quote has at most {QUOTE_BYTES_MAX} bytes, found {len(data)}")
        reader = _Reader(data, "the quote")
        version, tee = _header(reader)
        report = _body(reader, version, tee)
        signed = data[: reader.position]
        section = _Reader(reader.take(reader.number(4)), "the signature section of the quote")
        if any(reader.rest()):
            raise EvidenceError("something else than zeros follows the quote")
        signature, key = section.take(64), section.take(64)
        if version != _VERSION_SGX:
            section = _certification(section, _QE_REPORT)
        qe_report, qe_signature = section.take(_SGX_REPORT_BYTES), section.take(64)
        auth_data = section.take(section.number(2))
        chain = _certification(section, _PCK_CHAIN)
        return cls(
            version=version,
            signed=signed,
            report=report,
            signature=signature,
            attestation_key=key,
            qe_report=qe_report,
            qe_report_signature=qe_signature,
            qe_auth_data=auth_data,
            certificates=pem_chain(chain.rest(), "the PCK certificate of the quote"),
        )


class _Reader:
    """Reads forward, and says what it is that ends too early."""

    def __init__(self, data: bytes, what: str) -> None:
        self._data = data
        self._what = what
        self.position = 0

    def take(self, count: int) -> bytes:
        end = self.position + count
        if end > len(self._data):
            raise EvidenceError(f"{self._what} ends too early: it has {len(self._data)} bytes, expected {end} or more")
        taken = self._data[self.position : end]
        self.position = end
        return taken

    def number(self, count: int) -> int:
        return int.from_bytes(self.take(count), "little")

    def rest(self) -> bytes:
        return self.take(len(self._data) - self.position)


def _header(reader: _Reader) -> tuple[int, str]:
    """Read the 48 bytes that quotes begin with, and give version and kind of environment."""
    version, key_type, tee_type = reader.number(2), reader.number(2), reader.number(4)
    reader.take(4)  # of version 3: security versions of quoting enclave and PCE; reserved since
    vendor = reader.take(16)
    reader.take(20)  # user data: of Intel's quoting enclave, which machine it is on
    tee = _TEE.get(tee_type)
    known = {_VERSION_SGX: "sgx", 4: "tdx", _VERSION_BODIES: "tdx"}.get(version)
    if known is None:
        raise EvidenceError(f"a quote is of version 3, 4 or 5, found {version}")
    if tee != known:
        raise EvidenceError(f"a quote of version {version} is one of {known}, found environment {tee_type:#x}")
    if key_type != _ECDSA_P256:
        raise EvidenceError(f"a quote is signed with ECDSA on P-256 (2), found kind {key_type}")
    if vendor != _INTEL_QE:
        raise EvidenceError(f"a quote is signed by Intel's quoting enclave, found vendor {vendor.hex()}")
    return version, known


def _body(reader: _Reader, version: int, tee: str) -> SgxReport | TdReport:
    if version != _VERSION_BODIES:
        length = _SGX_REPORT_BYTES if tee == "sgx" else _TD_REPORT_BYTES
        return _td_report(reader.take(length)) if tee == "tdx" else sgx_report(reader.take(length))
    kind, length = reader.number(2), reader.number(4)
    if kind not in _BODIES or kind == 1:
        raise EvidenceError(f"the body of a quote of version 5 is a TD report (2 or 3), found kind {kind}")
    if length != _BODIES[kind]:
        raise EvidenceError(f"the body of kind {kind} has {_BODIES[kind]} bytes, found {length}")
    return _td_report(reader.take(length))


def sgx_report(data: bytes) -> SgxReport:
    """Take the body of a report apart, 384 bytes.

    Raises:
        EvidenceError: it has another length.
    """
    reader = _Reader(data, "the report of the enclave")
    cpu_svn, misc_select, _ = reader.take(16), reader.number(4), reader.take(28)
    attributes, measurement, _ = reader.take(16), reader.take(32), reader.take(32)
    signer, _ = reader.take(32), reader.take(96)
    product_id, svn, _ = reader.number(2), reader.number(2), reader.take(60)
    report = SgxReport(
        cpu_svn=cpu_svn,
        misc_select=misc_select,
        attributes=attributes,
        measurement=measurement,
        signer=signer,
        product_id=product_id,
        svn=svn,
        report_data=reader.take(64),
    )
    if reader.rest():
        raise EvidenceError(f"the report of an enclave has {_SGX_REPORT_BYTES} bytes, found {len(data)}")
    return report


def _td_report(data: bytes) -> TdReport:
    reader = _Reader(data, "the report of the trust domain")
    extended = len(data) == _TD_REPORT_15_BYTES
    return TdReport(
        tee_tcb_svn=reader.take(16),
        mrseam=reader.take(48),
        mrsignerseam=reader.take(48),
        seam_attributes=reader.take(8),
        td_attributes=reader.take(8),
        xfam=reader.take(8),
        mrtd=reader.take(48),
        mrconfigid=reader.take(48),
        mrowner=reader.take(48),
        mrownerconfig=reader.take(48),
        rtmrs=(reader.take(48), reader.take(48), reader.take(48), reader.take(48)),
        report_data=reader.take(64),
        tee_tcb_svn_2=reader.take(16) if extended else None,
        mr_service_td=reader.take(48) if extended else None,
    )


def _certification(section: _Reader, expected: int) -> _Reader:
    """Read certification data of one kind, which end the section."""
    kind, data = section.number(2), section.take(section.number(4))
    if kind != expected:
        raise EvidenceError(
            f"the certification data of the quote are of kind {expected}, found {kind}",
            hint="let the quoting service put the certificate of the PCK into quotes (its collateral has to be cached "
            "there, by a PCCS or by registration)"
            if expected == _PCK_CHAIN
            else None,
        )
    if section.rest():
        raise EvidenceError(f"something follows the certification data of kind {kind}")
    return _Reader(data, f"the certification data of kind {kind}")


def pem_chain(data: bytes, what: str) -> tuple[bytes, ...]:
    """Give the certificates in DER of a text in PEM, whose end may be marked by one NUL.

    There is one text for the same certificates, as Intel writes it, so that no byte of a quote is without meaning.

    Raises:
        EvidenceError: it is anything else.
    """
    text = data.removesuffix(b"\0").decode("ascii", errors="replace")
    blocks = text.split(_PEM_END)
    found: list[bytes] = []
    for block in blocks[:-1][: _CERTIFICATES_MAX + 1]:
        try:
            found.append(base64.b64decode(block.removeprefix(_PEM_BEGIN).replace("\n", ""), validate=True))
        except ValueError as error:
            raise EvidenceError(f"{what} is not in PEM") from error
    if not found or len(found) > _CERTIFICATES_MAX or pem_of(found) != text:
        raise EvidenceError(f"{what} is a chain of 1 to {_CERTIFICATES_MAX} certificates in PEM")
    return tuple(found)


def pem_of(certificates: list[bytes] | tuple[bytes, ...]) -> str:
    """Write certificates as :func:`pem_chain` reads them."""
    return "".join(f"{_PEM_BEGIN}{_lines(base64.b64encode(each).decode('ascii'))}{_PEM_END}" for each in certificates)


def _lines(text: str) -> str:
    return "".join(f"{text[start : start + _PEM_LINE]}\n" for start in range(0, len(text), _PEM_LINE))
