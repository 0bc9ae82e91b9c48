"""A make-believe Intel: processors, certificates, collateral and quotes, under a root made on the spot. Pure.

What it makes goes through the verifiers of genuine quotes (:mod:`bannock.evidence.dcap.verifier` and dcap-qvl), which
find all of it in order but the root. It protects nothing, and appraisals say so.
"""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Final, Self

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from bannock.errors import InputError
from bannock.evidence.dcap.pck import PckIdentity
from bannock.evidence.dcap.quote import pem_of
from bannock.evidence.endorsements import Endorsements
from bannock.evidence.rehearsal.intel_certificates import IntelCertificates, make_certificates, make_crl
from bannock.evidence.rehearsal.intel_collateral import Silicon, collateral_set, qe_identity, raw_signature, tcb_info
from bannock.evidence.rehearsal.knobs import ALL_WELL, Rehearsal
from bannock.evidence.rehearsal.seeds import grown_bytes, grown_p256_key

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from cryptography.hazmat.primitives.asymmetric import ec

    from bannock.evidence.appraisal import EnclaveIdentity

__all__ = ["IntelVendor"]

_FORMAT: Final = "bannock-rehearsal-intel-1"
_SEED_BYTES: Final = 32
_REPORT_DATA_BYTES: Final = 64
_JSON_BYTES_MAX: Final = 4096
_SILICON: Final = Silicon()
#: Intel's collateral holds for thirty days. Clocks are not alike, so it begins an hour early.
_LASTS: Final = timedelta(days=30)
_EARLY: Final = timedelta(hours=1)
_EXPIRED_SINCE: Final = timedelta(days=30)
_INTEL_QE: Final = bytes.fromhex("939a7233f79c4ca9940a0db3957f0607")
_ECDSA_P256: Final = 2
_TEE: Final = {"sgx": 0x00, "tdx": 0x81}
_PCK_CHAIN, _QE_REPORT = 5, 6
_SGX_PRODUCTION: Final = bytes.fromhex("0500000000000000e700000000000000")
_SGX_DEBUG: Final = 0x02
_TD_SEPT_VE_DISABLE: Final = 1 << 28
_TD_DEBUG: Final = 1 << 0
#: Kinds of bodies in quotes of version 5, by their length.
_BODIES: Final = {584: 2, 648: 3}
_VERSION_BODIES: Final = 5
#: Registers of a trust domain in the order of its report, with their lengths; REPORTDATA follows.
_TD_LAYOUT: Final[Mapping[str, int]] = {
    "tee_tcb_svn": 16,
    "mrseam": 48,
    "mrsignerseam": 48,
    "seam_attributes": 8,
    "td_attributes": 8,
    "xfam": 8,
    "mrtd": 48,
    "mrconfigid": 48,
    "mrowner": 48,
    "mrownerconfig": 48,
    "rtmr0": 48,
    "rtmr1": 48,
    "rtmr2": 48,
    "rtmr3": 48,
}
_MEASURED: Final = ("mrseam", "mrtd", "rtmr0", "rtmr1")


class IntelVendor:
    """A vendor with one machine.

    Args:
        random: gives that many random bytes; all keys grow from 32 of them.
        at: now; certificates are good from a day before, and collateral for thirty days.
        knobs: what is wrong with the vendor or the machine.
    """

    def __init__(self, random: Callable[[int], bytes], at: datetime, knobs: Rehearsal = ALL_WELL) -> None:
        self._seed = random(_SEED_BYTES)
        # Certificates and collateral tell whole seconds.
        self._since = self._at = at.replace(microsecond=0)
        self._knobs = knobs

    @property
    def root(self) -> bytes:
        """The make-believe root, DER."""
        return self._certificates.root.public_bytes(Encoding.DER)

    def renewed(self, at: datetime, knobs: Rehearsal | None = None) -> Self:
        """Give the same vendor with collateral of a later time, and with other knobs where they are given."""
        return self._again(self._seed, self._since, at, self._knobs if knobs is None else knobs)

    def endorsements(self) -> Endorsements:
        """Give what it vouches for: collateral for SGX and for TDX."""
        return Endorsements(dcap=(self._collateral("SGX"), self._collateral("TDX")))

    def sgx_quote(self, report_data: bytes, enclave: EnclaveIdentity, *, debug: bool = False) -> bytes:
        """Give a quote (version 3) of an enclave.

        Raises:
            InputError: the report data are not 64 bytes.
        """
        _require_report_data(report_data)
        attributes = _SGX_PRODUCTION
        if debug or self._knobs.debug:
            attributes = bytes([attributes[0] | _SGX_DEBUG]) + attributes[1:]
        report = _sgx_report(
            cpu_svn=self._machine.cpu_svn,
            attributes=attributes,
            measurement=enclave.measurement.value,
            signer=enclave.signer.value,
            product_id=enclave.product_id,
            svn=enclave.svn,
            report_data=report_data,
        )
        return self._signed(3, "sgx", report)

    def tdx_quote(
        self,
        report_data: bytes,
        machine: Mapping[str, str] | None = None,
        *,
        version: int = 4,
        debug: bool = False,
        extended: bool = True,
    ) -> bytes:
        """Give a quote of a trust domain.

        Args:
            report_data: 64 bytes.
            machine: registers by the names of ``Claims.machine``, hexadecimal; those that are left out are made up.
            version: 4 or 5.
            debug: whether a debugger may look in.
            extended: whether a quote of version 5 has the report of TDX 1.5, or that of 1.0.

        Raises:
            InputError: one of them is not what it has to be.
        """
        _require_report_data(report_data)
        if version not in {4, 5}:
            raise InputError(f"a quote of a trust domain is of version 4 or 5, found {version}")
        attributes = _TD_SEPT_VE_DISABLE | (_TD_DEBUG if debug or self._knobs.debug else 0)
        registers = {name: bytes(length) for name, length in _TD_LAYOUT.items()}
        registers |= {name: hashlib.sha384(f"make-believe {name}".encode()).digest() for name in _MEASURED}
        registers["tee_tcb_svn"] = _SILICON.tee_tcb_svn
        registers["td_attributes"] = attributes.to_bytes(8, "little")
        registers["xfam"] = bytes.fromhex("e702060000000000")
        service = bytes(48)
        for name, value in (machine or {}).items():
            if name == "mr_service_td":
                service = _register(name, value, 48)
            else:
                registers[name] = _register(name, value, _TD_LAYOUT.get(name))
        report = b"".join(registers[name] for name in _TD_LAYOUT) + report_data
        if version == _VERSION_BODIES and extended:
            report += registers["tee_tcb_svn"] + service
        return self._signed(version, "tdx", report)

    def to_json(self) -> bytes:
        """Give what there is to keep of it; whoever has it is this vendor, as far as anybody believes it."""
        document = {
            "format": _FORMAT,
            "seed": self._seed.hex(),
            "since": self._since.isoformat(),
            "at": self._at.isoformat(),
            "knobs": list(self._knobs.names),
        }
        return json.dumps(document, separators=(",", ":")).encode()

    @classmethod
    def from_json(cls, data: bytes) -> Self:
        """Give the vendor that :meth:`to_json` told of.

        Raises:
            InputError: it told of none.
        """
        try:
            document = json.loads(data[:_JSON_BYTES_MAX])
            seed = bytes.fromhex(document["seed"])
            since, at = (datetime.fromisoformat(document[name]).astimezone(UTC) for name in ("since", "at"))
            if document["format"] != _FORMAT or len(seed) != _SEED_BYTES:
                raise ValueError(document["format"])
            return cls._again(seed, since, at, Rehearsal.parse(document["knobs"]))
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError) as error:
            raise InputError("what was kept of a make-believe Intel is damaged") from error

    @classmethod
    def _again(cls, seed: bytes, since: datetime, at: datetime, knobs: Rehearsal) -> Self:
        vendor = cls(lambda _: seed, since, knobs)
        vendor._at = at.replace(microsecond=0)
        return vendor

    @cached_property
    def _machine(self) -> PckIdentity:
        return PckIdentity(
            ppid=grown_bytes(self._seed, "ppid", 16),
            cpu_svn=_SILICON.outdated if self._knobs.outdated_tcb else _SILICON.current,
            pce_svn=_SILICON.pce_svn,
            pce_id=bytes(2),
            # Intel has no family that begins so: nobody takes this collateral for that of real processors.
            fmspc=b"\xff" + grown_bytes(self._seed, "fmspc", 5),
            dynamic_platform=False,
            cached_keys=False,
            smt=True,
        )

    @cached_property
    def _certificates(self) -> IntelCertificates:
        return make_certificates(self._seed, self._since, self._machine)

    @property
    def _state(self) -> str:
        needed = {
            "Configuration": self._knobs.insecure_configuration,
            "SWHardening": self._knobs.software_hardening_needed,
        }
        return (
            f"{'And'.join(name for name, is_so in needed.items() if is_so)}Needed"
            if any(needed.values())
            else "UpToDate"
        )

    def _collateral(self, tee: str) -> str:
        issued = self._at - _EARLY
        until = self._at + _LASTS
        if self._knobs.expired_collateral:
            issued, until = self._at - _EXPIRED_SINCE - _LASTS, self._at - _EXPIRED_SINCE
        kind = "QE" if tee == "SGX" else "TD_QE"
        certificates = self._certificates
        revoked = [certificates.pck] if self._knobs.revoked else []
        authority_key, root_key = self._key("pck authority"), self._key("root")
        return collateral_set(
            certificates,
            self._key("signer"),
            root_crl=make_crl(certificates.root, root_key, [], issued=issued, until=until),
            pck_crl=make_crl(certificates.authority, authority_key, revoked, issued=issued, until=until),
            info=tcb_info(tee, _SILICON, self._machine, state=self._state, issued=issued, until=until),
            identity=qe_identity(kind, _SILICON, self._qe_signer, issued=issued, until=until),
        )

    @property
    def _qe_signer(self) -> bytes:
        return grown_bytes(self._seed, "signer of quoting enclaves", 32)

    def _key(self, name: str) -> ec.EllipticCurvePrivateKey:
        return grown_p256_key(self._seed, name)

    def _signed(self, version: int, tee: str, report: bytes) -> bytes:
        """Put header, body and signature section together."""
        versions = _number(_SILICON.qe_svn, 2) + _number(_SILICON.pce_svn, 2) if tee == "sgx" else bytes(4)
        header = _number(version, 2) + _number(_ECDSA_P256, 2) + _number(_TEE[tee], 4) + versions
        header += _INTEL_QE + grown_bytes(self._seed, "quoting enclave", 16) + bytes(4)
        if version == _VERSION_BODIES:
            header += _number(_BODIES[len(report)], 2) + _number(len(report), 4)
        signed = header + report
        key = self._key("attestation")
        point = key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)[1:]
        auth_data = bytes(range(32))
        qe_report = _sgx_report(
            cpu_svn=self._machine.cpu_svn,
            attributes=_SILICON.qe_attributes,
            measurement=grown_bytes(self._seed, "measurement of the quoting enclave", 32),
            signer=self._qe_signer,
            product_id=_SILICON.qe_product_ids[tee == "tdx"],
            svn=_SILICON.qe_svn,
            report_data=hashlib.sha256(point + auth_data).digest() + bytes(32),
        )
        chain = pem_of(self._certificates.pck_chain).encode() + b"\0"
        vouched = qe_report + raw_signature(self._key("pck"), qe_report) + _number(len(auth_data), 2) + auth_data
        vouched += _number(_PCK_CHAIN, 2) + _number(len(chain), 4) + chain
        if tee == "tdx":
            vouched = _number(_QE_REPORT, 2) + _number(len(vouched), 4) + vouched
        section = raw_signature(key, signed) + point + vouched
        return signed + _number(len(section), 4) + section


def _sgx_report(
    *,
    cpu_svn: bytes,
    attributes: bytes,
    measurement: bytes,
    signer: bytes,
    product_id: int,
    svn: int,
    report_data: bytes,
) -> bytes:
    reserved = bytes(4 + 28)
    identity = measurement + bytes(32) + signer + bytes(96) + _number(product_id, 2) + _number(svn, 2)
    return cpu_svn + reserved + attributes + identity + bytes(60) + report_data


def _register(name: str, value: str, length: int | None) -> bytes:
    if length is None:
        raise InputError(f"a trust domain has the registers {', '.join(_TD_LAYOUT)}, found {name[:40]!r}")
    try:
        data = bytes.fromhex(value)
    except ValueError:
        data = b""
    if len(data) != length:
        raise InputError(f"{name} of a trust domain is {2 * length} hexadecimal digits, found {value[:100]!r}")
    return data


def _require_report_data(data: bytes) -> None:
    if len(data) != _REPORT_DATA_BYTES:
        raise InputError(f"report data has {_REPORT_DATA_BYTES} bytes, found {len(data)}")


def _number(value: int, length: int) -> bytes:
    return value.to_bytes(length, "little")
