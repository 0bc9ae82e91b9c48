"""TPM2_MakeCredential without a TPM: a secret that one TPM alone opens, if it has a certain key beside its own. Pure.

TPM 2.0 Library, part 1, section 24 (credential protection), with annexes B.10.4 (RSA) and C.6.1 (ECC) on how the seed
travels; the endorsement keys are those of the templates of the TCG EK Credential Profile (annex B). Everything is put
together from primitives of ``cryptography``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from cryptography.hazmat.decrepit.ciphers.modes import CFB
from cryptography.hazmat.primitives import hashes, hmac
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms
from cryptography.hazmat.primitives.kdf.concatkdf import ConcatKDFHash
from cryptography.hazmat.primitives.kdf.kbkdf import KBKDFHMAC, CounterLocation, Mode

from bannock.errors import EvidenceError

if TYPE_CHECKING:
    from collections.abc import Callable

    from bannock.evidence.tpm.public import PublicKey

__all__ = ["Credential", "make_credential"]

_LABEL: Final = b"IDENTITY\0"
_IV: Final = bytes(16)


@dataclass(frozen=True, slots=True, kw_only=True)
class Credential:
    """What TPM2_ActivateCredential takes.

    Attributes:
        blob: contents of TPM2B_ID_OBJECT.
        secret: contents of TPM2B_ENCRYPTED_SECRET.
    """

    blob: bytes
    secret: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class _Template:
    """What an endorsement key of some size is made with: hash of its name, and bits of its AES key."""

    algorithm: hashes.HashAlgorithm
    aes_bits: int


#: Low range, and those of the high range that go beyond it.
_SMALL: Final = _Template(algorithm=hashes.SHA256(), aes_bits=128)
_LARGE: Final = _Template(algorithm=hashes.SHA384(), aes_bits=256)
_RSA: Final = {2048: _SMALL, 3072: _LARGE}
_ECC: Final = {"secp256r1": _SMALL, "secp384r1": _LARGE}


def make_credential(
    endorsement_key: PublicKey, name: bytes, secret: bytes, random: Callable[[int], bytes]
) -> Credential:
    """Seal a secret for the TPM with an endorsement key, as long as it has the key of a name, too.

    Args:
        endorsement_key: of the TPM.
        name: of the key that it has to have.
        secret: at most as long as digests of the endorsement key's hash.
        random: gives as many random bytes as asked for.

    Raises:
        EvidenceError: the endorsement key is of no template that is known.
    """
    match endorsement_key:
        case rsa.RSAPublicKey() if endorsement_key.key_size in _RSA:
            template = _RSA[endorsement_key.key_size]
            seed = random(template.algorithm.digest_size)
            mgf = padding.MGF1(template.algorithm)
            oaep = padding.OAEP(mgf=mgf, algorithm=template.algorithm, label=_LABEL)
            encrypted = endorsement_key.encrypt(seed, oaep)
        case ec.EllipticCurvePublicKey() if endorsement_key.curve.name in _ECC:
            template = _ECC[endorsement_key.curve.name]
            seed, encrypted = _shared(endorsement_key, template)
        case _:
            raise EvidenceError(
                f"the endorsement key has {endorsement_key.key_size} bits, which is no template that is known",
                reasons=["expected RSA of 2048 or 3072 bits, P-256 or P-384"],
            )
    identity = _encrypted(template, seed, name, _sized(secret))
    integrity = _derived(template, seed, b"INTEGRITY", b"", template.algorithm.digest_size)
    mac = hmac.HMAC(integrity, template.algorithm)
    mac.update(identity + name)
    return Credential(blob=_sized(mac.finalize()) + identity, secret=encrypted)


def _shared(endorsement_key: ec.EllipticCurvePublicKey, template: _Template) -> tuple[bytes, bytes]:
    """Agree on a seed, and give it with the point that the TPM agrees on it by."""
    ours = ec.generate_private_key(endorsement_key.curve)
    size = (endorsement_key.key_size + 7) // 8
    point, theirs = ours.public_key().public_numbers(), endorsement_key.public_numbers()
    parties = point.x.to_bytes(size, "big") + theirs.x.to_bytes(size, "big")
    kdfe = ConcatKDFHash(template.algorithm, template.algorithm.digest_size, _LABEL + parties)
    seed = kdfe.derive(ours.exchange(ec.ECDH(), endorsement_key))
    return seed, b"".join(_sized(number.to_bytes(size, "big")) for number in (point.x, point.y))


def _encrypted(template: _Template, seed: bytes, name: bytes, data: bytes) -> bytes:
    key = _derived(template, seed, b"STORAGE", name, template.aes_bits // 8)
    # A key of its own for each message, so that the vector may be zeros, as the specification has it.
    encryptor = Cipher(algorithms.AES(key), CFB(_IV)).encryptor()
    return encryptor.update(data) + encryptor.finalize()


def _derived(template: _Template, seed: bytes, label: bytes, context: bytes, size: int) -> bytes:
    """Derive a key (KDFa: part 1, section 11.4.10.2)."""
    return KBKDFHMAC(
        algorithm=template.algorithm,
        mode=Mode.CounterMode,
        length=size,
        rlen=4,
        llen=4,
        location=CounterLocation.BeforeFixed,
        label=label,
        context=context,
        fixed=None,
    ).derive(seed)


def _sized(data: bytes) -> bytes:
    return len(data).to_bytes(2, "big") + data
