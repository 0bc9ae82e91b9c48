"""What is posted as a session: a document as it is, a signed one, or one that is encrypted for this CAS.

Pure. Opens it and says on whose behalf it is: of the TLS client that posts it or, if it is signed, of its signers.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bannock.errors import Bug, DeniedError, InputError
from bannock.policy.access import CERTIFICATE_HINT, AccessSubject
from bannock.policy.signing import Form, decrypt, form_of, verify
from bannock.values import KeyHash

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

__all__ = ["Posting", "open_posting"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Posting:
    """An opened document.

    Attributes:
        text: of the session, its variables replaced.
        subject: on whose behalf it was posted.
        creator: who becomes its creator, should it be new.
    """

    text: str = field(repr=False)
    subject: AccessSubject
    creator: KeyHash


def open_posting(document: str, client: AccessSubject, key: EllipticCurvePrivateKey | None) -> Posting:
    """Open what was posted.

    The client that carries a signed document counts for nothing, and needs no certificate.

    Args:
        document: as it came.
        client: who posted it.
        key: the session-encryption key of this CAS.

    Raises:
        InputError: a signed or encrypted document is malformed.
        DeniedError: a signature does not hold, it is encrypted for another CAS, or there is nobody behind it.
    """
    form = form_of(document)
    if form is Form.ENCRYPTED:
        if key is None:
            raise Bug("this CAS has no session-encryption key")
        document = decrypt(document, key)
        form = form_of(document)
        if form is not Form.SIGNED:
            # Whoever copies an encrypted document could post it as their own, and then read it.
            raise InputError(
                "an encrypted session has to be signed", hint="scone session encrypt signs a session before it does"
            )
    if form is Form.SIGNED:
        signed = verify(document)
        return Posting(
            text=signed.text,
            subject=AccessSubject(signers=signed.signers),
            creator=KeyHash(hashlib.sha256(signed.creator).digest()),
        )
    if client.key_hash is None:
        raise DeniedError("a client certificate is needed: its key is who the client is", hint=CERTIFICATE_HINT)
    return Posting(text=document, subject=client, creator=client.key_hash)
