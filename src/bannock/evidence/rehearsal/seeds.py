"""Keys and bytes that a make-believe vendor grows from one seed, so that the seed is all there is to keep. Pure."""

from __future__ import annotations

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

__all__ = ["grown_bytes", "grown_p256_key"]

#: The order of P-256 (FIPS 186-5). Eight bytes more than it has make the bias negligible.
_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
_KEY_BYTES = 40


def grown_bytes(seed: bytes, name: str, length: int) -> bytes:
    """Give bytes that follow from seed and name."""
    return HKDF(hashes.SHA256(), length, salt=b"bannock make-believe vendor 1", info=name.encode()).derive(seed)


def grown_p256_key(seed: bytes, name: str) -> ec.EllipticCurvePrivateKey:
    """Give a key on P-256 that follows from seed and name."""
    number = int.from_bytes(grown_bytes(seed, f"key {name}", _KEY_BYTES), "big")
    return ec.derive_private_key(number % (_ORDER - 1) + 1, ec.SECP256R1())
