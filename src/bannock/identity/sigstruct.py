"""SIGSTRUCT: the structure of SGX by which a signer vouches for a measurement. Pure.

MRSIGNER, ISVPRODID and ISVSVN come from it, on every platform. Source: Intel 64 and IA-32 Architectures Software
Developer's Manual, volume 3D, section "Enclave Signature Structure (SIGSTRUCT)" and the leaf function EINIT. All
numbers are little-endian, those of RSA too.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import struct
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final, NamedTuple, Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from bannock.errors import EvidenceError, InputError
from bannock.values import Measurement

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

__all__ = [
    "EVERYTHING",
    "FLAG_DEBUG",
    "FLAG_MODE64BIT",
    "NUMBER_MAX",
    "SIGSTRUCT_BYTES",
    "XFRM_LEGACY",
    "Attributes",
    "SigStruct",
    "require_signing_key",
]

SIGSTRUCT_BYTES: Final = 1808
#: Product ids and security version numbers have 16 bits.
NUMBER_MAX: Final = 0xFFFF
FLAG_DEBUG: Final = 1 << 1
FLAG_MODE64BIT: Final = 1 << 2
#: x87 and SSE, without which no enclave is made.
XFRM_LEGACY: Final = 3

_KEY_BITS: Final = 3072
_KEY_BYTES: Final = _KEY_BITS // 8
_EXPONENT: Final = 3
_HEADER: Final = bytes.fromhex("06000000e10000000000010000000000")
_HEADER2: Final = bytes.fromhex("01010000600000006000000001000000")
#: What is signed: 128 bytes at the start and 128 after key and signature. Names are those of the manual.
_FIRST: Final = struct.Struct("<16sII16sI84s")
_KEY: Final = struct.Struct(f"<{_KEY_BYTES}sI{_KEY_BYTES}s")
_BODY: Final = struct.Struct("<IIBB2s16sQQQQ32s16s16sHH")
_LAST: Final = struct.Struct(f"<12s{_KEY_BYTES}s{_KEY_BYTES}s")
_UINT32_MAX: Final = 0xFFFFFFFF


class Attributes(NamedTuple):
    """The attributes of an enclave: flags, and the processor's states that it may use (XFRM)."""

    flags: int
    xfrm: int


#: Every bit of the attributes counts.
EVERYTHING: Final = Attributes((1 << 64) - 1, (1 << 64) - 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class SigStruct:
    """What a signer says of an enclave. Parsing does not mean that the signature holds: :meth:`verify` finds out.

    Attributes:
        measurement: MRENCLAVE.
        product_id, svn: ISVPRODID and ISVSVN.
        date: when it was signed, as the signer says.
        attributes, attribute_mask: attributes of the enclave, and which of their bits count.
        misc_select, misc_mask: likewise for MISCSELECT.
        vendor, software_defined, cet, family_id, extended_product_id: fields that are not used here, and kept.
        modulus: of the signer's key, in the order of the structure.
        signature, q1, q2: of the signer, likewise.
    """

    measurement: Measurement
    product_id: int
    svn: int
    date: dt.date
    attributes: Attributes
    attribute_mask: Attributes = EVERYTHING
    misc_select: int = 0
    misc_mask: int = _UINT32_MAX
    vendor: int = 0
    software_defined: int = 0
    cet: tuple[int, int] = (0, 0)
    family_id: bytes = bytes(16)
    extended_product_id: bytes = bytes(16)
    modulus: bytes = field(default=bytes(_KEY_BYTES), repr=False)
    signature: bytes = field(default=bytes(_KEY_BYTES), repr=False)
    q1: bytes = field(default=bytes(_KEY_BYTES), repr=False)
    q2: bytes = field(default=bytes(_KEY_BYTES), repr=False)

    def __post_init__(self) -> None:
        for what, number in (("a product id", self.product_id), ("a security version number", self.svn)):
            if not 0 <= number <= NUMBER_MAX:
                raise InputError(f"{what} is from 0 to {NUMBER_MAX}, found {number}")

    @property
    def signer(self) -> Measurement:
        """MRSIGNER: SHA-256 of the signer's modulus."""
        return Measurement(hashlib.sha256(self.modulus).digest())

    @property
    def debug(self) -> bool:
        """Whether a debugger may look into the enclave, as the signer says."""
        return bool(self.attributes.flags & FLAG_DEBUG)

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Parse a structure.

        Raises:
            EvidenceError: it has another length, or something else where constants have to be.
        """
        if len(data) != SIGSTRUCT_BYTES:
            raise EvidenceError(f"a SIGSTRUCT has {SIGSTRUCT_BYTES} bytes, found {len(data)}")
        header, vendor, date, header2, software_defined, zeros = _FIRST.unpack_from(data)
        modulus, exponent, signature = _KEY.unpack_from(data, _FIRST.size)
        body = _BODY.unpack_from(data, _FIRST.size + _KEY.size)
        more_zeros, q1, q2 = _LAST.unpack_from(data, _FIRST.size + _KEY.size + _BODY.size)
        if header != _HEADER or header2 != _HEADER2:
            raise EvidenceError("this is no SIGSTRUCT: its headers are others")
        if exponent != _EXPONENT:
            raise EvidenceError(f"the key of a SIGSTRUCT has the exponent {_EXPONENT}, found {exponent}")
        if any(zeros) or any(body[4]) or any(body[11]) or any(more_zeros):
            raise EvidenceError("reserved bytes of the SIGSTRUCT are not zero")
        return cls(
            vendor=vendor,
            date=_date(date),
            software_defined=software_defined,
            modulus=modulus,
            signature=signature,
            misc_select=body[0],
            misc_mask=body[1],
            cet=(body[2], body[3]),
            family_id=body[5],
            attributes=Attributes(body[6], body[7]),
            attribute_mask=Attributes(body[8], body[9]),
            measurement=Measurement(body[10]),
            extended_product_id=body[12],
            product_id=body[13],
            svn=body[14],
            q1=q1,
            q2=q2,
        )

    def to_bytes(self) -> bytes:
        """Return the structure in its one form."""
        first, body = self._signed()
        key = _KEY.pack(self.modulus, _EXPONENT, self.signature)
        return first + key + body + _LAST.pack(bytes(12), self.q1, self.q2)

    def of(self, measurement: Measurement) -> SigStruct:
        """Return the structure for another enclave, unsigned."""
        return replace(self, measurement=measurement)

    def sign(self, key: RSAPrivateKey) -> SigStruct:
        """Return the structure with the signature of a key.

        Raises:
            InputError: the key is of another kind (:func:`require_signing_key`).
        """
        require_signing_key(key)
        first, body = self._signed()
        signature = int.from_bytes(key.sign(first + body, padding.PKCS1v15(), hashes.SHA256()), "big")
        modulus = key.public_key().public_numbers().n
        q1, q2 = _quotients(signature, modulus)
        return replace(
            self,
            modulus=modulus.to_bytes(_KEY_BYTES, "little"),
            signature=signature.to_bytes(_KEY_BYTES, "little"),
            q1=q1.to_bytes(_KEY_BYTES, "little"),
            q2=q2.to_bytes(_KEY_BYTES, "little"),
        )

    def verify(self) -> None:
        """Verify the signature, and the numbers that help a processor to do so.

        Raises:
            EvidenceError: it does not hold.
        """
        modulus, signature = int.from_bytes(self.modulus, "little"), int.from_bytes(self.signature, "little")
        if modulus.bit_length() != _KEY_BITS or not modulus & 1:
            raise EvidenceError(f"the key of a SIGSTRUCT has {_KEY_BITS} bits, found {modulus.bit_length()}")
        first, body = self._signed()
        try:
            key = rsa.RSAPublicNumbers(_EXPONENT, modulus).public_key()
            key.verify(signature.to_bytes(_KEY_BYTES, "big"), first + body, padding.PKCS1v15(), hashes.SHA256())
        except (InvalidSignature, ValueError) as error:
            raise EvidenceError("the signature of the SIGSTRUCT does not hold") from error
        quotients = int.from_bytes(self.q1, "little"), int.from_bytes(self.q2, "little")
        if quotients != _quotients(signature, modulus):
            raise EvidenceError("the quotients of the SIGSTRUCT are not those of its signature")

    def _signed(self) -> tuple[bytes, bytes]:
        """Return the two parts that are signed."""
        first = _FIRST.pack(_HEADER, self.vendor, _digits(self.date), _HEADER2, self.software_defined, bytes(84))
        body = _BODY.pack(
            self.misc_select,
            self.misc_mask,
            *self.cet,
            bytes(2),
            self.family_id,
            *self.attributes,
            *self.attribute_mask,
            self.measurement.value,
            bytes(16),
            self.extended_product_id,
            self.product_id,
            self.svn,
        )
        return first, body


def require_signing_key(key: RSAPrivateKey) -> None:
    """Raise InputError unless a key is one that enclaves are signed with."""
    numbers = key.public_key().public_numbers()
    if key.key_size != _KEY_BITS or numbers.e != _EXPONENT:
        raise InputError(
            f"an enclave is signed with an RSA key of {_KEY_BITS} bits and exponent {_EXPONENT}, "
            f"found {key.key_size} bits and {numbers.e}",
            hint="make one: openssl genrsa -3 -out enclave-key.pem 3072",
        )


def _quotients(signature: int, modulus: int) -> tuple[int, int]:
    q1, rest = divmod(signature * signature, modulus)
    return q1, signature * rest // modulus


def _digits(date: dt.date) -> int:
    """Return a date as its decimal digits are written in hexadecimal: 0x20261121."""
    return int(f"{date.year:04}{date.month:02}{date.day:02}", 16)


def _date(number: int) -> dt.date:
    text = f"{number:08x}"
    try:
        return dt.date(int(text[:4]), int(text[4:6]), int(text[6:]))
    except ValueError as error:
        raise EvidenceError(f"the date of the SIGSTRUCT is none: {text}") from error
