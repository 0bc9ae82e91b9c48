"""Activation: how an attestation key of a TPM gets a certificate, in one answer of an authority. Pure.

The authority seals the certificate to the TPM whose endorsement key the manufacturer vouches for, and to the name of
the attestation key. Only a TPM that has both opens it. So whoever shows the certificate has a key that is in that TPM,
and the authority need not remember whom it has challenged.
"""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from bannock.errors import EvidenceError
from bannock.evidence.tpm.credential import Credential, make_credential
from bannock.evidence.tpm.keys import encoded
from bannock.policy.canonical import canonical_json

if TYPE_CHECKING:
    from collections.abc import Callable

    from bannock.evidence.tpm.public import Public, PublicKey
    from bannock.values import Secret

__all__ = ["CHALLENGE_BYTES_MAX", "Challenge"]

FORMAT: Final = "bannock-activation-1"
CHALLENGE_BYTES_MAX: Final = 16 << 10
_KEY_BYTES: Final = 32
#: The key seals one message in its life.
_NONCE: Final = bytes(12)
_PARTS: Final = ("endorsement_key", "blob", "secret", "certificate")


@dataclass(frozen=True, slots=True, kw_only=True)
class Challenge:
    """What an authority answers with.

    Attributes:
        endorsement_key: which of a TPM's endorsement keys it is for: SHA-256 of its SubjectPublicKeyInfo.
        credential: holds the key of the certificate.
        certificate: of the attestation key, DER, sealed.
    """

    endorsement_key: bytes
    credential: Credential
    certificate: bytes

    @classmethod
    def make(
        cls, endorsement_key: PublicKey, attestation_key: Public, certificate: bytes, random: Callable[[int], bytes]
    ) -> Self:
        """Seal a certificate.

        Args:
            endorsement_key: of the TPM, vouched for by its manufacturer.
            attestation_key: which has to be in that TPM.
            certificate: of the attestation key, DER.
            random: gives as many random bytes as asked for.

        Raises:
            EvidenceError: the endorsement key is of no kind that is known.
        """
        key = random(_KEY_BYTES)
        return cls(
            endorsement_key=hashlib.sha256(encoded(endorsement_key)).digest(),
            credential=make_credential(endorsement_key, attestation_key.name, key, random),
            certificate=AESGCM(key).encrypt(_NONCE, certificate, attestation_key.name),
        )

    def open(self, key: Secret, name: bytes) -> bytes:
        """Give the certificate, to whoever has the key that the TPM has opened.

        Args:
            key: what TPM2_ActivateCredential has given.
            name: of the attestation key.

        Raises:
            EvidenceError: it is another key, or for another attestation key.
        """
        try:
            return AESGCM(key.reveal()).decrypt(_NONCE, self.certificate, name)
        except (InvalidTag, ValueError):
            raise EvidenceError("the certificate in the challenge is not opened by what the TPM has given") from None

    def to_json(self) -> bytes:
        """Return the canonical form (RFC 8785)."""
        parts = (self.endorsement_key, self.credential.blob, self.credential.secret, self.certificate)
        texts = (base64.b64encode(part).decode("ascii") for part in parts)
        return canonical_json({"format": FORMAT, **dict(zip(_PARTS, texts, strict=True))})

    @classmethod
    def from_json(cls, data: bytes) -> Self:
        """Parse what :meth:`to_json` gives.

        Raises:
            EvidenceError: it is anything else.
        """
        if len(data) > CHALLENGE_BYTES_MAX:
            raise EvidenceError(f"a challenge has at most {CHALLENGE_BYTES_MAX} bytes, found {len(data)}")
        try:
            fields = json.loads(data)
            key, blob, secret, certificate = (base64.b64decode(fields[name], validate=True) for name in _PARTS)
            found = cls(endorsement_key=key, credential=Credential(blob=blob, secret=secret), certificate=certificate)
            same = found.to_json() == data
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise EvidenceError("the challenge is malformed") from error
        if not same:
            raise EvidenceError("the challenge is not in its canonical form")
        return found
