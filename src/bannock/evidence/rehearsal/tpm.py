"""A make-believe manufacturer of TPMs: genuine formats, made on the spot, with nothing behind them.

Its quotes go through the same verifier as those of real TPMs. They lead to an authority that vouches for itself, so
what they prove is of platform ``sim``.
"""

from __future__ import annotations

import datetime as dt
import json
import struct
from typing import TYPE_CHECKING, Final, Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from bannock.errors import InputError
from bannock.evidence.attester import key_binding
from bannock.evidence.endorsements import Endorsements
from bannock.evidence.quotes import TpmQuote
from bannock.evidence.rehearsal.boot import UEFI_DEBUG_MODE, event_log, first_events
from bannock.evidence.rehearsal.knobs import ALL_WELL
from bannock.evidence.tpm.event_log import EventLog
from bannock.evidence.tpm.keys import AK_USAGE, machine_id_of, name_of_machine
from bannock.evidence.tpm.quoted import pcrs_to_json
from bannock.policy.canonical import canonical_json

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from bannock.evidence.rehearsal.knobs import Rehearsal
    from bannock.policy.canonical import JsonValue

__all__ = ["TpmVendor", "quoted_by"]

_FORMAT: Final = "bannock-rehearsal-tpm-1"
_NAMES: Final = ("root", "ek", "ak")
_ORDER: Final = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
_SCALAR_BYTES: Final = 40
_COORDINATE_BYTES: Final = 32
_YEAR: Final = dt.timedelta(days=365)
_MONTH: Final = dt.timedelta(days=30)
_DAY: Final = dt.timedelta(days=1)
_BINDING_BYTES: Final = 32
_BANK: Final = "sha256"
_PCR: Final = f"pcr.{_BANK}."
#: fixedTPM, fixedParent, sensitiveDataOrigin, userWithAuth, noDA, restricted, sign.
_ATTESTATION_KEY: Final = 0x00050472
_NAME: Final = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "make-believe TPM manufacturer (rehearsal)")])


class TpmVendor:
    """A manufacturer, and the one TPM that it has made.

    Args:
        random: gives as many random bytes as asked for.
        at: the time at which everything is made.
        knobs: what is wrong with what it makes.
    """

    def __init__(self, random: Callable[[int], bytes], at: dt.datetime, knobs: Rehearsal = ALL_WELL) -> None:
        self._set(
            {name: int.from_bytes(random(_SCALAR_BYTES), "big") % (_ORDER - 1) + 1 for name in _NAMES}, at, knobs
        )

    def quote(self, key: bytes, machine: Mapping[str, str] | None = None) -> tuple[TpmQuote, bytes]:
        """Make the quote for the key of a LAS, with the endorsements that come along.

        Args:
            key: DER SubjectPublicKeyInfo (Ed25519).
            machine: registers that are to stand at something else than after a common start: ``pcr.sha256.N`` → digest
                in hexadecimal. There is no event log then.

        Raises:
            InputError: these are no registers.
        """
        events = first_events(secure_boot=True)
        if self._knobs.debug:
            events = [UEFI_DEBUG_MODE, *events]
        log = event_log(events)
        values = {index: bytes(32) for index in range(16)} | EventLog.parse(log).replay(_BANK)
        wished = _registers(machine or {})
        attest, signature, public = quoted_by(self._keys["ak"], key_binding(key)[:_BINDING_BYTES], values | wished)
        quote = TpmQuote(
            key=key,
            attest=attest,
            signature=signature,
            ak_public=public,
            ak_certificates=tuple(each.public_bytes(Encoding.DER) for each in (self._ak_certificate(), self._root())),
            pcrs=pcrs_to_json({_BANK: values | wished}),
            event_log=b"" if wished else log,
        )
        return quote, self.endorsements().to_json()

    def endorsements(self) -> Endorsements:
        """Give what the manufacturer vouches for: which certificates it has revoked."""
        made, until = self._made, self._made + _MONTH
        if self._knobs.expired_collateral:
            made, until = self._made - 2 * _MONTH, self._made - _MONTH
        crl = x509.CertificateRevocationListBuilder().issuer_name(_NAME).last_update(made).next_update(until)
        if self._knobs.revoked:
            revoked = x509.RevokedCertificateBuilder().serial_number(self._ak_certificate().serial_number)
            crl = crl.add_revoked_certificate(revoked.revocation_date(made).build())
        signed = crl.sign(self._keys["root"], hashes.SHA256(), ecdsa_deterministic=True)
        return Endorsements(crls=(signed.public_bytes(Encoding.DER),))

    def renewed(self, at: dt.datetime) -> Self:
        """Give the same manufacturer with certificates and lists of a later time."""
        vendor = type(self).__new__(type(self))
        numbers = {name: key.private_numbers().private_value for name, key in self._keys.items()}
        vendor._set(numbers, at, self._knobs)  # noqa: SLF001 - it is one of ours
        return vendor

    def to_json(self) -> bytes:
        """Give what makes the same manufacturer again: its keys, which protect nothing."""
        keys: dict[str, JsonValue] = {
            name: f"{key.private_numbers().private_value:064x}" for name, key in self._keys.items()
        }
        return canonical_json({"format": _FORMAT, "keys": keys, "at": self._made.isoformat()})

    @classmethod
    def from_json(cls, data: bytes, knobs: Rehearsal = ALL_WELL) -> Self:
        """Make the manufacturer that :meth:`to_json` has told of.

        Raises:
            InputError: it is anything else.
        """
        try:
            document = json.loads(data)
            if document["format"] != _FORMAT:
                raise ValueError
            numbers = {name: int(document["keys"][name], 16) for name in _NAMES}
            at = dt.datetime.fromisoformat(document["at"])
            if not all(0 < number < _ORDER for number in numbers.values()) or at.tzinfo is None:
                raise ValueError
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise InputError("this is no make-believe manufacturer of TPMs") from error
        vendor = cls.__new__(cls)
        vendor._set(numbers, at, knobs)  # noqa: SLF001 - it is one of ours
        return vendor

    def _set(self, numbers: Mapping[str, int], at: dt.datetime, knobs: Rehearsal) -> None:
        self._keys = {name: ec.derive_private_key(number, ec.SECP256R1()) for name, number in numbers.items()}
        self._made = at.astimezone(dt.UTC).replace(microsecond=0)
        self._knobs = knobs

    def _root(self) -> x509.Certificate:
        usage = x509.KeyUsage(
            digital_signature=False, content_commitment=False, key_encipherment=False, data_encipherment=False,
            key_agreement=False, key_cert_sign=True, crl_sign=True, encipher_only=False, decipher_only=False,
        )  # fmt: skip
        builder = self._certificate(_NAME, self._keys["root"].public_key())
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        return self._signed(builder.add_extension(usage, critical=True))

    def _ak_certificate(self) -> x509.Certificate:
        subject = name_of_machine(machine_id_of(self._keys["ek"].public_key()))
        builder = self._certificate(subject, self._keys["ak"].public_key())
        builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        return self._signed(builder.add_extension(x509.ExtendedKeyUsage([AK_USAGE]), critical=False))

    def _certificate(self, subject: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(_NAME)
            .public_key(key)
            # It is made anew each time, and has to be the same.
            .serial_number(key.public_numbers().x >> 100 or 1)
            .not_valid_before(self._made - _DAY)
            .not_valid_after(self._made + _YEAR)
        )

    def _signed(self, builder: x509.CertificateBuilder) -> x509.Certificate:
        return builder.sign(self._keys["root"], hashes.SHA256(), ecdsa_deterministic=True)


def quoted_by(
    key: ec.EllipticCurvePrivateKey,
    qualifying: bytes,
    values: Mapping[int, bytes],
    attributes: int = _ATTESTATION_KEY,
) -> tuple[bytes, bytes, bytes]:
    """Make what a TPM makes that has a P-256 key: TPMS_ATTEST, TPMT_SIGNATURE, and TPMT_PUBLIC of the key.

    Args:
        key: which signs.
        qualifying: what the quote is bound to.
        values: of the registers of SHA-256 that are quoted.
        attributes: of the key, TPMA_OBJECT.
    """
    numbers = key.public_key().public_numbers()
    point = b"".join(_sized(number.to_bytes(_COORDINATE_BYTES, "big")) for number in (numbers.x, numbers.y))
    public = struct.pack(">HHIHHHHHH", 0x23, 0xB, attributes, 0, 0x10, 0x18, 0xB, 0x3, 0x10) + point
    digest = hashes.Hash(hashes.SHA256())
    bits = 0
    for index, value in sorted(values.items()):
        digest.update(value)
        bits |= 1 << index
    signer = hashes.Hash(hashes.SHA256())
    signer.update(public)
    attest = (
        struct.pack(">IH", 0xFF544347, 0x8018)
        + _sized(b"\x00\x0b" + signer.finalize())
        + _sized(qualifying)
        + struct.pack(">QIIBQ", 3600_000, 1, 0, 1, 1)
        + struct.pack(">IHB", 1, 0xB, 3)
        + bits.to_bytes(3, "little")
        + _sized(digest.finalize())
    )
    pair = decode_dss_signature(key.sign(attest, ec.ECDSA(hashes.SHA256(), deterministic_signing=True)))
    halves = b"".join(_sized(number.to_bytes(_COORDINATE_BYTES, "big")) for number in pair)
    return attest, struct.pack(">HH", 0x18, 0xB) + halves, public


def _registers(machine: Mapping[str, str]) -> dict[int, bytes]:
    try:
        found = {int(name.removeprefix(_PCR)): bytes.fromhex(value) for name, value in machine.items()}
    except ValueError:
        found = {-1: b""}
    if not all(0 <= index < 24 and len(value) == 32 for index, value in found.items()):  # noqa: PLR2004
        raise InputError(f"registers of a rehearsed TPM are {_PCR}0 to {_PCR}23, with 64 hexadecimal digits each")
    return found


def _sized(data: bytes) -> bytes:
    return len(data).to_bytes(2, "big") + data
