"""TPMT_PUBLIC: the public area of a TPM's object, its name, and its key. Pure.

TPM 2.0 Library, part 2, section 12.2; keys for signing and endorsement keys are read, and nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntFlag
from typing import TYPE_CHECKING, Final, Self, TypeAlias

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from bannock.errors import EvidenceError
from bannock.evidence.tpm.algorithms import CURVES, ECC, ECDSA, HASHES, NULL, RSA, RSAPSS, RSASSA, SHA1
from bannock.evidence.tpm.reader import Reader

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["Attributes", "Public", "PublicKey"]

PublicKey: TypeAlias = rsa.RSAPublicKey | ec.EllipticCurvePublicKey

_WHAT: Final = "the public area of the key (TPMT_PUBLIC)"
#: What 0 stands for (part 2, table 232).
_DEFAULT_EXPONENT: Final = 65537
_RSA_BITS: Final = range(2048, 8193)


class Attributes(IntFlag):
    """TPMA_OBJECT (part 2, section 8.3)."""

    FIXED_TPM = 1 << 1
    FIXED_PARENT = 1 << 4
    SENSITIVE_DATA_ORIGIN = 1 << 5
    USER_WITH_AUTH = 1 << 6
    ADMIN_WITH_POLICY = 1 << 7
    NO_DA = 1 << 10
    RESTRICTED = 1 << 16
    DECRYPT = 1 << 17
    SIGN = 1 << 18


#: What makes a key one that cannot leave its TPM, was made there, and signs nothing that somebody else made up.
_ATTESTATION: Final = {
    Attributes.FIXED_TPM: "fixedTPM",
    Attributes.FIXED_PARENT: "fixedParent",
    Attributes.SENSITIVE_DATA_ORIGIN: "sensitiveDataOrigin",
    Attributes.RESTRICTED: "restricted",
    Attributes.SIGN: "sign",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Public:
    """A public area.

    Attributes:
        encoded: all of it, as it was.
        name_algorithm: the number of the hash of its name.
        attributes: what the key may do, and where.
        scheme: the number of the signature scheme that it is bound to; that of none where it is not.
        scheme_hash: the number of the hash of that scheme; None without one.
        key: the key itself.
    """

    encoded: bytes
    name_algorithm: int
    attributes: Attributes
    scheme: int
    scheme_hash: int | None
    key: PublicKey

    @property
    def name(self) -> bytes:
        """What the TPM knows it by: the number of a hash, and that hash over all of it (part 1, section 16)."""
        digest = hashes.Hash(HASHES[self.name_algorithm][1])
        digest.update(self.encoded)
        return self.name_algorithm.to_bytes(2, "big") + digest.finalize()

    def require_attestation_key(self) -> None:
        """Say that it has to be a key that signs only what its TPM has made, and that never was elsewhere.

        Raises:
            EvidenceError: it is another one.
        """
        missing = [name for flag, name in _ATTESTATION.items() if not self.attributes & flag]
        if missing or self.attributes & Attributes.DECRYPT:
            found = [f"{name} is not set" for name in missing]
            found += ["decrypt is set"] if self.attributes & Attributes.DECRYPT else []
            raise EvidenceError(
                "the key that signed the TPM's quote is no attestation key: it could sign what no TPM has made",
                reasons=found,
            )

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Parse a public area.

        Raises:
            EvidenceError: it is malformed, or of a kind of object that is not used here.
        """
        reader = Reader(data, _WHAT)
        kind, name_algorithm = reader.number(2), reader.number(2)
        if name_algorithm not in HASHES or name_algorithm == SHA1:
            raise EvidenceError(f"{_WHAT} names itself by algorithm 0x{name_algorithm:04x}, which is not supported")
        attributes = Attributes(reader.number(4))
        reader.sized()  # the policy of its use, which does not matter to what it has signed
        _skip_symmetric(reader)
        scheme, scheme_hash = _scheme(reader)
        read = _KINDS.get(kind)
        if read is None:
            raise EvidenceError(f"{_WHAT} is of an RSA or an ECC key, found type 0x{kind:04x}")
        key = read(reader)
        reader.end()
        return cls(
            encoded=data,
            name_algorithm=name_algorithm,
            attributes=attributes,
            scheme=scheme,
            scheme_hash=scheme_hash,
            key=key,
        )


def _skip_symmetric(reader: Reader) -> None:
    if reader.number(2) != NULL:
        reader.take(4)  # bits and mode


def _scheme(reader: Reader) -> tuple[int, int | None]:
    scheme = reader.number(2)
    if scheme == NULL:
        return scheme, None
    if scheme not in (RSASSA, RSAPSS, ECDSA):
        raise EvidenceError(f"{_WHAT} has the scheme 0x{scheme:04x}, which is not supported")
    return scheme, reader.number(2)


def _rsa(reader: Reader) -> PublicKey:
    bits, exponent, modulus = reader.number(2), reader.number(4), reader.sized()
    number = int.from_bytes(modulus, "big")
    if bits not in _RSA_BITS or number.bit_length() != bits or 8 * len(modulus) != bits:
        raise EvidenceError(f"{_WHAT} has {bits} bits, and a modulus of {number.bit_length()}")
    try:
        return rsa.RSAPublicNumbers(exponent or _DEFAULT_EXPONENT, number).public_key()
    except ValueError as error:
        raise EvidenceError(f"{_WHAT} holds no RSA key") from error


def _ecc(reader: Reader) -> PublicKey:
    number = reader.number(2)
    if reader.number(2) != NULL:
        raise EvidenceError(f"{_WHAT} has a key derivation scheme, which is not supported")
    x, y = reader.sized(), reader.sized()
    curve = CURVES.get(number)
    if curve is None:
        raise EvidenceError(f"{_WHAT} is on the curve 0x{number:04x}, which is not supported")
    try:
        return ec.EllipticCurvePublicNumbers(int.from_bytes(x, "big"), int.from_bytes(y, "big"), curve).public_key()
    except ValueError as error:
        raise EvidenceError(f"{_WHAT} holds no point of its curve") from error


_KINDS: Final[Mapping[int, Callable[[Reader], PublicKey]]] = {RSA: _rsa, ECC: _ecc}
