"""TPMS_ATTEST of a quote and TPMT_SIGNATURE over it, and what the quoted registers stand at. Pure.

TPM 2.0 Library, part 2, sections 10.12 and 11.3.
"""

from __future__ import annotations

import hmac
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from bannock.errors import EvidenceError
from bannock.evidence.tpm.algorithms import ECDSA, HASHES, RSAPSS, RSASSA, hash_named
from bannock.evidence.tpm.reader import Reader
from bannock.policy.canonical import canonical_json

if TYPE_CHECKING:
    from bannock.evidence.tpm.public import Public

__all__ = ["PCRS_MAX", "Pcrs", "Quoted", "Signature", "pcrs_from_json", "pcrs_to_json"]

#: What a structure that a TPM makes to be signed starts with.
_GENERATED: Final = 0xFF544347
_ATTEST_QUOTE: Final = 0x8018
#: Registers of a platform (PC Client Platform TPM Profile).
PCRS_MAX: Final = 24
_SELECTIONS_MAX: Final = 16
_PCRS_BYTES_MAX: Final = 32 << 10

#: Bank → index → digest.
Pcrs = dict[str, dict[int, bytes]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Quoted:
    """What a TPM has signed of itself.

    Attributes:
        encoded: all of it, as it was.
        qualifying: what the quote is bound to.
        selection: banks in the order in which they were hashed, with the registers of each in theirs.
        digest: over all of their values.
        clock: milliseconds for which the TPM was powered since its owner took it.
        resets, restarts: how often it was started, and how often resumed since the last start.
        safe: whether the clock never stood at that before.
        firmware: version of the TPM's firmware, as its manufacturer counts.
    """

    encoded: bytes
    qualifying: bytes
    selection: tuple[tuple[int, tuple[int, ...]], ...]
    digest: bytes
    clock: int
    resets: int
    restarts: int
    safe: bool
    firmware: int

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Parse a quote.

        Raises:
            EvidenceError: it is malformed, or no quote.
        """
        reader = Reader(data, "the TPM's quote (TPMS_ATTEST)")
        magic, kind = reader.number(4), reader.number(2)
        if magic != _GENERATED or kind != _ATTEST_QUOTE:
            raise EvidenceError(
                "what the attestation key has signed is no quote of a TPM",
                reasons=[f"expected {_GENERATED:08x} {_ATTEST_QUOTE:04x}, found {magic:08x} {kind:04x}"],
            )
        reader.sized()  # the name of the key with those above it, which nobody can check from outside
        qualifying = reader.sized()
        clock, resets, restarts, safe, firmware = (reader.number(size) for size in (8, 4, 4, 1, 8))
        if safe not in (0, 1):
            raise EvidenceError(f"a flag of the TPM's quote is 0 or 1, found {safe}")
        selection = tuple(_selection(reader) for _ in range(_count(reader)))
        digest = reader.sized()
        reader.end()
        return cls(
            encoded=data,
            qualifying=qualifying,
            selection=selection,
            digest=digest,
            clock=clock,
            resets=resets,
            restarts=restarts,
            safe=bool(safe),
            firmware=firmware,
        )

    def require_values(self, pcrs: Pcrs, algorithm: hashes.HashAlgorithm) -> None:
        """Say that the registers have to stand at these values, which have to be those and no others.

        Args:
            pcrs: what they are said to stand at.
            algorithm: the hash of the signature, which is that of the registers, too.

        Raises:
            EvidenceError: they do not.
        """
        wanted = {(HASHES[bank][0], index) for bank, indices in self.selection for index in indices}
        given = {(bank, index) for bank, values in pcrs.items() for index in values}
        if wanted != given:
            reasons = [f"{bank}:{index} is quoted and not given" for bank, index in sorted(wanted - given)]
            reasons += [f"{bank}:{index} is given and not quoted" for bank, index in sorted(given - wanted)]
            raise EvidenceError("the values of registers are not those that the TPM quotes", reasons=reasons)
        digest = hashes.Hash(algorithm)
        for bank, indices in self.selection:
            for index in indices:
                digest.update(pcrs[HASHES[bank][0]][index])
        found = digest.finalize()
        if not hmac.compare_digest(found, self.digest):
            raise EvidenceError(
                "the values of registers do not give the digest that the TPM quotes",
                reasons=[f"expected {self.digest.hex()}, found {found.hex()}"],
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """A signature of a TPM.

    Attributes:
        scheme: its number.
        algorithm: the hash that was signed.
        value: as ``cryptography`` verifies it.
    """

    scheme: int
    algorithm: hashes.HashAlgorithm
    value: bytes

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Parse a signature.

        Raises:
            EvidenceError: it is malformed, or of a scheme that is not supported.
        """
        reader = Reader(data, "the signature of the TPM (TPMT_SIGNATURE)")
        scheme, number = reader.number(2), reader.number(2)
        algorithm = hash_named(number, "the hash of the TPM's signature")
        if scheme in (RSASSA, RSAPSS):
            value = reader.sized()
        elif scheme == ECDSA:
            r, s = reader.sized(), reader.sized()
            value = encode_dss_signature(int.from_bytes(r, "big"), int.from_bytes(s, "big"))
        else:
            raise EvidenceError(f"the TPM's signature has the scheme 0x{scheme:04x}, which is not supported")
        reader.end()
        return cls(scheme=scheme, algorithm=algorithm, value=value)

    def require(self, public: Public, data: bytes) -> None:
        """Say that a key has to have made this signature over some data.

        Raises:
            EvidenceError: it has not.
        """
        if public.scheme_hash is not None:
            bound = public.scheme, type(hash_named(public.scheme_hash, "the hash of the attestation key"))
            if bound != (self.scheme, type(self.algorithm)):
                raise EvidenceError("the TPM's signature is of another scheme than its attestation key is bound to")
        try:
            self._verify(public, data)
        except (InvalidSignature, ValueError):
            raise EvidenceError("the signature of the TPM's quote does not verify under its attestation key") from None

    def _verify(self, public: Public, data: bytes) -> None:
        match public.key, self.scheme:
            case rsa.RSAPublicKey() as key, scheme if scheme == RSASSA:
                key.verify(self.value, data, padding.PKCS1v15(), self.algorithm)
            case rsa.RSAPublicKey() as key, scheme if scheme == RSAPSS:
                # TPMs salt with as many bytes as there is room for, or with as many as the hash has (part 1, B.7).
                pss = padding.PSS(mgf=padding.MGF1(self.algorithm), salt_length=padding.PSS.AUTO)
                key.verify(self.value, data, pss, self.algorithm)
            case ec.EllipticCurvePublicKey() as key, scheme if scheme == ECDSA:
                key.verify(self.value, data, ec.ECDSA(self.algorithm))
            case _:
                raise InvalidSignature


def pcrs_to_json(pcrs: Pcrs) -> bytes:
    """Give values of registers in their canonical form (RFC 8785)."""
    return canonical_json(
        {bank: {str(index): value.hex() for index, value in values.items()} for bank, values in pcrs.items()}
    )


def pcrs_from_json(data: bytes) -> Pcrs:
    """Parse what :func:`pcrs_to_json` gives.

    Raises:
        EvidenceError: it is anything else.
    """
    if len(data) > _PCRS_BYTES_MAX:
        raise EvidenceError(f"values of registers have at most {_PCRS_BYTES_MAX} bytes, found {len(data)}")
    sizes = {name: algorithm.digest_size for name, algorithm in HASHES.values()}
    try:
        pcrs = {
            bank: {_index(index): _digest(value, sizes[bank]) for index, value in values.items()}
            for bank, values in json.loads(data).items()
        }
        same = pcrs_to_json(pcrs) == data and pcrs.keys() <= sizes.keys() and all(pcrs.values())
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise EvidenceError("the values of registers are malformed") from error
    if not same:
        raise EvidenceError("the values of registers are not in their canonical form")
    return pcrs


def _count(reader: Reader) -> int:
    count = reader.number(4)
    if count > _SELECTIONS_MAX:
        raise EvidenceError(f"a quote selects registers of at most {_SELECTIONS_MAX} banks, found {count}")
    return count


def _selection(reader: Reader) -> tuple[int, tuple[int, ...]]:
    bank, bits = reader.number(2), reader.sized(width=1)
    if bank not in HASHES:
        raise EvidenceError(f"the quote is over a bank of algorithm 0x{bank:04x}, which is not supported")
    indices = tuple(index for index in range(8 * len(bits)) if bits[index // 8] >> index % 8 & 1)
    if indices and indices[-1] >= PCRS_MAX:
        raise EvidenceError(f"registers have numbers below {PCRS_MAX}, the quote is over {indices[-1]}")
    return bank, indices


def _index(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,2}", text) or int(text) >= PCRS_MAX:
        raise ValueError
    return int(text)


def _digest(text: str, size: int) -> bytes:
    value = bytes.fromhex(text)
    if len(value) != size:
        raise ValueError
    return value
