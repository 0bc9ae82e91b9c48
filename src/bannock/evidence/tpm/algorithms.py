"""Algorithms that a TPM names by number (TCG Algorithm Registry), as far as attestation uses them. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from bannock.errors import EvidenceError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["AES", "CFB", "CURVES", "ECC", "ECDSA", "HASHES", "NULL", "RSA", "RSAPSS", "RSASSA", "SHA1", "hash_named"]

RSA: Final = 0x0001
SHA1: Final = 0x0004
AES: Final = 0x0006
NULL: Final = 0x0010
RSASSA: Final = 0x0014
RSAPSS: Final = 0x0016
ECDSA: Final = 0x0018
ECC: Final = 0x0023
CFB: Final = 0x0043

#: Number → name of the bank of registers, and the hash itself.
HASHES: Final[Mapping[int, tuple[str, hashes.HashAlgorithm]]] = {
    SHA1: ("sha1", hashes.SHA1()),  # noqa: S303 - banks of it are told apart, and never relied on
    0x000B: ("sha256", hashes.SHA256()),
    0x000C: ("sha384", hashes.SHA384()),
    0x000D: ("sha512", hashes.SHA512()),
}
CURVES: Final[Mapping[int, ec.EllipticCurve]] = {
    0x0003: ec.SECP256R1(),
    0x0004: ec.SECP384R1(),
    0x0005: ec.SECP521R1(),
}


def hash_named(number: int, what: str) -> hashes.HashAlgorithm:
    """Give the hash that a number names, if it is one that signatures may rest on.

    Raises:
        EvidenceError: it is not.
    """
    if number not in HASHES or number == SHA1:
        raise EvidenceError(f"{what} is SHA-256, SHA-384 or SHA-512, found algorithm 0x{number:04x}")
    return HASHES[number][1]
