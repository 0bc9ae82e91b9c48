"""A make-believe AMD: chips, certificates and reports in the genuine formats, under a root made on the spot.

What it makes goes through the verifier of genuine reports (:mod:`bannock.evidence.snp.verifier`), which finds all of
it in order but the root. It protects nothing, and appraisals say so.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final, Self

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA384
from cryptography.hazmat.primitives.serialization import Encoding

from bannock.errors import InputError
from bannock.evidence.attester import key_binding
from bannock.evidence.endorsements import Endorsements
from bannock.evidence.quotes import SnpQuote
from bannock.evidence.rehearsal.amd_chain import MadeChain
from bannock.evidence.rehearsal.knobs import Rehearsal
from bannock.evidence.snp.tcb import Tcb

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

__all__ = ["AmdVendor"]

_NO_KNOBS: Final = Rehearsal()
_REPORT_VERSION: Final[Mapping[str, int]] = {"Milan": 2, "Genoa": 3, "Turin": 5}
_CPUID: Final[Mapping[str, bytes]] = {"Milan": bytes(3), "Genoa": b"\x19\x11\x01", "Turin": b"\x1a\x02\x01"}
_NOW: Final[Mapping[str, Tcb]] = {
    "Milan": Tcb(bootloader=4, tee=0, snp=24, microcode=219),
    "Genoa": Tcb(bootloader=10, tee=0, snp=24, microcode=84),
    "Turin": Tcb(fmc=1, bootloader=1, tee=1, snp=4, microcode=76),
}
_OUTDATED: Final[Mapping[str, Tcb]] = {
    "Milan": Tcb(bootloader=2, tee=0, snp=5, microcode=68),
    "Genoa": Tcb(bootloader=1, tee=0, snp=3, microcode=10),
    "Turin": Tcb(fmc=0, bootloader=0, tee=0, snp=1, microcode=30),
}
#: Name in ``machine`` → place and length in a report.
_BYTES: Final[Mapping[str, tuple[int, int]]] = {
    "family_id": (0x10, 16),
    "image_id": (0x20, 16),
    "measurement": (0x90, 48),
    "host_data": (0xC0, 32),
    "id_key_digest": (0xE0, 48),
    "author_key_digest": (0x110, 48),
}
_NUMBERS: Final[Mapping[str, tuple[int, int]]] = {"guest_svn": (0x04, 4), "vmpl": (0x30, 4)}
_POLICY: Final = 1 << 17
_DEBUG: Final = 1 << 19
_ECC_AND_ALIASES_CHECKED: Final = 1 << 2 | 1 << 5
_FIRMWARE: Final = bytes((7, 55, 1))
_SIGNATURE: Final = 0x2A0
_COMPONENT_BYTES: Final = 72
_REPORT_BYTES: Final = 1184
_REPORT_DATA_BYTES: Final = 64
_MEASUREMENT: Final = hashlib.sha384(b"a make-believe guest").hexdigest()


class AmdVendor:
    """A vendor with one chip.

    Args:
        random: gives that many random bytes.
        at: now.
        knobs: what is wrong with the vendor or the platform. (AMD publishes no list of TCB versions that are out of
            date: an outdated one is an old one, which a session refuses by ``minimum_tcb``.)
        line: of products, as AMD names it: ``Milan`` (reports of version 2), ``Genoa`` (3) or ``Turin`` (5).
        chain: one that was made before, instead of a new one of this line.
    """

    def __init__(
        self,
        random: Callable[[int], bytes],
        at: datetime,
        knobs: Rehearsal = _NO_KNOBS,
        *,
        line: str = "Genoa",
        chain: MadeChain | None = None,
    ) -> None:
        line = line if chain is None else chain.line
        if line not in _NOW:
            raise InputError(f"a make-believe AMD has the lines {', '.join(_NOW)}, found {line[:40]!r}")
        self._random, self._at, self._knobs = random, at, knobs
        self._chain = chain or MadeChain.make(random, at, line)
        self._tcb = (_OUTDATED if knobs.outdated_tcb else _NOW)[line]

    def snp_report(self, report_data: bytes, machine: Mapping[str, str] | None = None) -> bytes:
        """Give a report that the chip signed.

        Args:
            report_data: 64 bytes that it is bound to.
            machine: what it says of the guest, by the names of :attr:`~bannock.policy.claims.Claims.machine`: all but
                the product and the TCB version, which are the chip's.

        Raises:
            InputError: a value or a name is not one of a guest.
        """
        if len(report_data) != _REPORT_DATA_BYTES:
            raise InputError(f"report data have {_REPORT_DATA_BYTES} bytes, found {len(report_data)}")
        values = {"measurement": _MEASUREMENT, **(machine or {})}
        line, report = self._chain.line, bytearray(_REPORT_BYTES)
        _put(report, 0x00, _REPORT_VERSION[line], 4)
        policy = _whole(values.pop("policy", f"{_POLICY:x}"), "policy", 16, 8)
        _put(report, 0x08, policy | _POLICY | (_DEBUG if self._knobs.debug else 0), 8)
        for name, value in values.items():
            _put_value(report, name, value)
        _put(report, 0x34, 1, 4)
        for place in (0x38, 0x180, 0x1E0, 0x1F0):
            report[place : place + 8] = self._tcb.to_bytes()
        _put(report, 0x40, _ECC_AND_ALIASES_CHECKED, 8)
        report[0x50:0x90] = report_data
        report[0x140:0x160] = self._random(32)
        report[0x160:0x180] = b"\xff" * 32
        report[0x188:0x18B] = _CPUID[line]
        report[0x1A0:0x1E0] = self._chain.chip_id
        report[0x1E8:0x1EB] = report[0x1EC:0x1EF] = _FIRMWARE
        signature = self._chain.chip_key.sign(bytes(report[:_SIGNATURE]), ec.ECDSA(SHA384()))
        for index, component in enumerate(decode_dss_signature(signature)):
            _put(report, _SIGNATURE + _COMPONENT_BYTES * index, component, _COMPONENT_BYTES)
        return bytes(report)

    def quote(self, key: bytes, machine: Mapping[str, str] | None = None) -> tuple[SnpQuote, bytes]:
        """Give the quote for the key of a LAS, DER SubjectPublicKeyInfo, with the endorsements that come along."""
        report = self.snp_report(key_binding(key), machine)
        return SnpQuote(key=key, report=report), self.endorsements().to_json()

    def endorsements(self) -> Endorsements:
        """Give the chain and the list of what is revoked."""
        chain, knobs = self._chain, self._knobs
        authorities = (each.public_bytes(Encoding.DER) for each in (chain.intermediate, chain.root))
        return Endorsements(
            certificates=(chain.vcek(self._tcb), *authorities),
            crls=(chain.crl(self._at, expired=knobs.expired_collateral, revoked=knobs.revoked),),
        )

    def to_json(self) -> bytes:
        """Give the vendor as it is kept: with its private keys, which protect nothing."""
        return self._chain.to_json()

    @classmethod
    def from_json(
        cls, data: bytes, random: Callable[[int], bytes], at: datetime, knobs: Rehearsal = _NO_KNOBS
    ) -> Self:
        """Take up what :meth:`to_json` gave; lists of what is revoked are of now.

        Raises:
            InputError: it is anything else.
        """
        return cls(random, at, knobs, chain=MadeChain.from_json(data))


def _put(report: bytearray, place: int, number: int, length: int) -> None:
    report[place : place + length] = number.to_bytes(length, "little")


def _put_value(report: bytearray, name: str, value: str) -> None:
    if name in _BYTES:
        place, length = _BYTES[name]
        if len(value) != 2 * length:
            raise InputError(f"{name} of a make-believe guest has {length} bytes, found {value[:80]!r}")
        report[place : place + length] = _whole(value, name, 16, length).to_bytes(length, "big")
    elif name in _NUMBERS:
        place, length = _NUMBERS[name]
        _put(report, place, _whole(value, name, 10, length), length)
    else:
        known = ", ".join(sorted((*_BYTES, *_NUMBERS, "policy")))
        raise InputError(f"a make-believe guest has no {name[:40]!r}; there are {known}")


def _whole(value: str, name: str, base: int, length: int) -> int:
    try:
        number = int(value, base)
    except ValueError:
        number = -1
    if not 0 <= number < 1 << 8 * length:
        raise InputError(f"{name} of a make-believe guest has {length} bytes, found {value[:80]!r}")
    return number
