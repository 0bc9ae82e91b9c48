"""The attestation report of an SEV-SNP guest (AMD 56860, ATTESTATION_REPORT), versions 2 to 5. Pure.

Versions 3 and 4 add what the processor is, version 5 which mitigations its firmware has; nothing moves.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Self

from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from bannock.errors import EvidenceError
from bannock.evidence.snp.tcb import line_of_cpuid

__all__ = ["HYPERVISOR", "REPORT_BYTES", "VCEK", "VLEK", "AttestationReport", "GuestPolicy"]

REPORT_BYTES: Final = 1184
#: What signs: the key of the chip, or one that a cloud was given by AMD.
VCEK: Final = 0
VLEK: Final = 1
_UNSIGNED: Final = 7
#: VMPL of a report that the hypervisor asked for, and no guest.
HYPERVISOR: Final = 0xFFFFFFFF

_VERSIONS: Final = (2, 3, 4, 5)
_ECDSA_P384_SHA384: Final = 1
_SIGNATURE: Final = 0x2A0
_COMPONENT_BYTES: Final = 72
_P384_BYTES: Final = 48
_VMPL_MAX: Final = 3
_NO_REPORT_ID: Final = b"\xff" * 32


@dataclass(frozen=True, slots=True, kw_only=True)
class GuestPolicy:
    """What the guest allows whoever runs it (AMD 56860, Guest Policy); set at its launch, and measured with it."""

    raw: int

    @property
    def smt(self) -> bool:
        """Whether another guest may run on the other thread of a core."""
        return bool(self.raw >> 16 & 1)

    @property
    def migration_agent(self) -> bool:
        """Whether a migration agent may take the guest's state out."""
        return bool(self.raw >> 18 & 1)

    @property
    def debug(self) -> bool:
        """Whether the hypervisor may read and write the guest's memory."""
        return bool(self.raw >> 19 & 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class AttestationReport:
    """A report; its signature was not verified.

    Attributes:
        version: of the format.
        guest_svn, family_id, image_id: from the ID block that the guest's owner signed, or 0.
        policy: of the guest.
        vmpl: the privilege level of whoever asked, 0 to 3, or :data:`HYPERVISOR`.
        current_tcb, committed_tcb, launch_tcb: TCB_VERSION: what runs, what cannot be gone back behind, and what ran
            when the guest was launched.
        reported_tcb: TCB_VERSION that the signing key is derived from.
        platform_info: flags of the platform's configuration.
        signing_key: :data:`VCEK` or :data:`VLEK`.
        report_data: 64 bytes that the guest chose.
        measurement: of the guest at its launch, 48 bytes.
        host_data: 32 bytes that whoever launched it chose.
        id_key_digest, author_key_digest: of the keys that signed the ID block, 48 bytes, or 0.
        report_id: of the guest, 32 bytes.
        report_id_ma: of its migration agent, or None.
        cpuid: family, model and stepping of the processor; None before version 3.
        chip_id: of the processor, 64 bytes; 0 where it is masked.
        current_firmware, committed_firmware: major, minor, build.
        mitigations: vectors at launch and now; None before version 5.
        signed: the bytes that are signed.
        signature: over them, DER.
    """

    version: int
    guest_svn: int
    policy: GuestPolicy
    family_id: bytes
    image_id: bytes
    vmpl: int
    current_tcb: bytes
    platform_info: int
    signing_key: int
    report_data: bytes
    measurement: bytes
    host_data: bytes
    id_key_digest: bytes
    author_key_digest: bytes
    report_id: bytes
    report_id_ma: bytes | None
    reported_tcb: bytes
    cpuid: tuple[int, int, int] | None
    chip_id: bytes
    committed_tcb: bytes
    current_firmware: tuple[int, int, int]
    committed_firmware: tuple[int, int, int]
    launch_tcb: bytes
    mitigations: tuple[int, int] | None
    signed: bytes
    signature: bytes

    @property
    def line(self) -> str | None:
        """The line of products that the processor is of; None where the report does not tell, or it is not known."""
        return None if self.cpuid is None else line_of_cpuid(self.cpuid[0], self.cpuid[1])

    @property
    def masked(self) -> bool:
        """Whether the report hides which chip it is from."""
        return not any(self.chip_id)

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Parse a report.

        Raises:
            EvidenceError: it is malformed, not signed, or of a version that is not known.
        """
        if len(data) != REPORT_BYTES:
            raise EvidenceError(f"an SEV-SNP attestation report has {REPORT_BYTES} bytes, found {len(data)}")
        version = _number(data, 0x00, 4)
        if version not in _VERSIONS:
            raise EvidenceError(
                f"SEV-SNP attestation reports of versions {', '.join(map(str, _VERSIONS))} are known, found {version}"
            )
        _require_zeros(data, version)
        ma = data[0x160:0x180]
        return cls(
            version=version,
            guest_svn=_number(data, 0x04, 4),
            policy=_policy(data),
            family_id=data[0x10:0x20],
            image_id=data[0x20:0x30],
            vmpl=_vmpl(data),
            current_tcb=data[0x38:0x40],
            platform_info=_number(data, 0x40, 8),
            signing_key=_signing_key(data),
            report_data=data[0x50:0x90],
            measurement=data[0x90:0xC0],
            host_data=data[0xC0:0xE0],
            id_key_digest=data[0xE0:0x110],
            author_key_digest=data[0x110:0x140],
            report_id=data[0x140:0x160],
            report_id_ma=None if ma == _NO_REPORT_ID else ma,
            reported_tcb=data[0x180:0x188],
            cpuid=None if version < 3 else (data[0x188], data[0x189], data[0x18A]),  # noqa: PLR2004 - as above
            chip_id=data[0x1A0:0x1E0],
            committed_tcb=data[0x1E0:0x1E8],
            current_firmware=(data[0x1EA], data[0x1E9], data[0x1E8]),
            committed_firmware=(data[0x1EE], data[0x1ED], data[0x1EC]),
            launch_tcb=data[0x1F0:0x1F8],
            mitigations=None
            if version < 5  # noqa: PLR2004 - as above
            else (_number(data, 0x1F8, 8), _number(data, 0x200, 8)),
            signed=data[:_SIGNATURE],
            signature=_signature(data),
        )


def _number(data: bytes, place: int, length: int) -> int:
    return int.from_bytes(data[place : place + length], "little")


def _require_zeros(data: bytes, version: int) -> None:
    """Refuse what is not known: a later meaning of a reserved byte may be one that a decision hangs on."""
    spare = [(0x4C, 0x50), (0x1EB, 0x1EC), (0x1EF, 0x1F0)]
    spare.append((0x188 if version < 3 else 0x18B, 0x1A0))  # noqa: PLR2004 - CPUID from version 3 on
    spare.append((0x1F8 if version < 5 else 0x208, _SIGNATURE))  # noqa: PLR2004 - mitigations from version 5 on
    spare.append((_SIGNATURE + 2 * _COMPONENT_BYTES, REPORT_BYTES))
    for start, end in spare:
        if any(data[start:end]):
            raise EvidenceError(
                f"the reserved bytes 0x{start:x} to 0x{end:x} of an SEV-SNP attestation report are 0, "
                f"found {data[start:end].hex()[:64]}"
            )


def _policy(data: bytes) -> GuestPolicy:
    raw = _number(data, 0x08, 8)
    if not raw >> 17 & 1:
        raise EvidenceError(f"bit 17 of an SEV-SNP guest policy is 1, found policy 0x{raw:x}")
    return GuestPolicy(raw=raw)


def _vmpl(data: bytes) -> int:
    vmpl = _number(data, 0x30, 4)
    if vmpl > _VMPL_MAX and vmpl != HYPERVISOR:
        raise EvidenceError(f"the VMPL of an SEV-SNP attestation report is 0 to {_VMPL_MAX}, found {vmpl}")
    return vmpl


def _signing_key(data: bytes) -> int:
    algorithm, flags = _number(data, 0x34, 4), _number(data, 0x48, 4)
    key, masked = flags >> 2 & 7, bool(flags & 2)
    if masked or key == _UNSIGNED:
        raise EvidenceError(
            "the SEV-SNP attestation report is not signed: the platform masks the key of its chip (MaskChipKey)",
            hint="whoever runs the host has to let reports be signed, or to load a VLEK",
        )
    if key not in {VCEK, VLEK} or flags >> 5:
        raise EvidenceError(f"the key of an SEV-SNP attestation report is VCEK or VLEK, found flags 0x{flags:x}")
    if algorithm != _ECDSA_P384_SHA384:
        raise EvidenceError(
            f"SEV-SNP attestation reports are signed with ECDSA P-384 and SHA-384 (1), found algorithm {algorithm}"
        )
    return key


def _signature(data: bytes) -> bytes:
    components = []
    for start in (_SIGNATURE, _SIGNATURE + _COMPONENT_BYTES):
        component = data[start : start + _COMPONENT_BYTES]
        if any(component[_P384_BYTES:]):
            raise EvidenceError("a component of the signature of an SEV-SNP attestation report is above 384 bits")
        components.append(int.from_bytes(component, "little"))
    return encode_dss_signature(*components)
