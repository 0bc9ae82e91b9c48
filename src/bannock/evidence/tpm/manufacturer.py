"""The endorsement keys of a TPM, and the certificates that its manufacturer has put into it.

TCG EK Credential Profile for TPM Family 2.0, section 2.2 on where they are, and annex B on the templates of the keys.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from bannock.errors import EnvironmentFault, EvidenceError
from bannock.evidence.tpm.certificates import load_certificates
from bannock.evidence.tpm.keys import encoded
from bannock.evidence.tpm.public import Public

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from bannock.evidence.tpm.tools import TpmSession

__all__ = ["EndorsementKeys"]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kind:
    """One kind of endorsement key.

    Attributes:
        index: of its certificate.
        algorithm: what ``tpm2_createek`` calls it.
        by_policy: whether it is used by the policy of its template; else by its authorization, which is empty.
    """

    index: int
    algorithm: str
    by_policy: bool


#: The quickest first: on some TPMs RSA takes seconds. The low range (L-2, L-1) comes before the high one (H-3, H-6).
_KINDS: Final = (
    _Kind(index=0x01C0000A, algorithm="ecc", by_policy=True),
    _Kind(index=0x01C00016, algorithm="ecc384", by_policy=False),
    _Kind(index=0x01C00002, algorithm="rsa", by_policy=True),
    _Kind(index=0x01C0001C, algorithm="rsa3072", by_policy=False),
)
#: Certificates of issuers, one after the other.
_ISSUERS: Final = range(0x01C00100, 0x01C00200)
_HANDLE: Final = re.compile(r"0x[0-9a-f]{1,8}", re.IGNORECASE)
_SEQUENCE: Final = 0x30
_CERTIFICATES_MAX: Final = 16


class EndorsementKeys:
    """The endorsement keys of one TPM.

    Args:
        directory: of further certificates, for TPMs that have none or not all of them; None for none.
    """

    def __init__(self, directory: Path | None) -> None:
        self._directory = directory

    def certificates(self, session: TpmSession) -> tuple[bytes, ...]:
        """Give the certificates of the endorsement keys and of their issuers, DER."""
        defined = {int(each, 16) for each in _HANDLE.findall(session.run("tpm2_getcap", "handles-nv-index").decode())}
        wanted = [kind.index for kind in _KINDS if kind.index in defined]
        wanted += sorted(defined & set(_ISSUERS))
        found = [each for index in wanted for each in _certificates_in(_contents(session, index))]
        found += self._from_files()
        # An authority that vouches for itself is nothing that others would believe: they have it, or they do not.
        return tuple(each for each in dict.fromkeys(found) if not _is_root(each))[:_CERTIFICATES_MAX]

    def load(self, session: TpmSession, wanted: bytes) -> bool:
        """Make one of the keys, as the context ``ek``, and say whether it is used by the policy of its template.

        Args:
            session: with the TPM.
            wanted: which, SHA-256 of its SubjectPublicKeyInfo.

        Raises:
            EvidenceError: this TPM has no such key.
            EnvironmentFault: the TPM cannot be used.
        """
        failure: EnvironmentFault | None = None
        for kind in _KINDS:
            try:
                session.run("tpm2_createek", "-G", kind.algorithm, "-c", "ek", "-u", "ek.public", "-f", "tss")
                session.forget()
            except EnvironmentFault as error:  # there are TPMs without some of them
                failure = error
                continue
            key = Public.parse(session.read("ek.public")[2:]).key
            if hashlib.sha256(encoded(key)).digest() == wanted:
                return kind.by_policy
        raise EvidenceError("the challenge is for another TPM: this one has no such endorsement key") from failure

    def _from_files(self) -> Iterator[bytes]:
        if self._directory is None or not self._directory.is_dir():
            return
        for path in sorted(self._directory.iterdir()):
            try:
                content = path.read_bytes()
            except OSError as error:
                raise EnvironmentFault(f"cannot read {path}: {error.strerror}") from error
            if content.lstrip().startswith(b"-----BEGIN"):
                try:
                    yield from (each.public_bytes(Encoding.DER) for each in x509.load_pem_x509_certificates(content))
                except ValueError as error:
                    raise EvidenceError(f"{path} holds no certificates in PEM") from error
            else:
                yield from _certificates_in(content)


def _contents(session: TpmSession, index: int) -> bytes:
    """Read an index of the TPM's memory, by the right of whoever knows its name or else of the owner."""
    try:
        return session.run("tpm2_nvread", f"0x{index:08x}")
    except EnvironmentFault:
        return session.run("tpm2_nvread", "-C", "o", f"0x{index:08x}")


def _certificates_in(data: bytes) -> Iterator[bytes]:
    """Take certificates apart that stand one after the other, with padding behind them."""
    while len(data) > 4 and data[0] == _SEQUENCE and data[1] == 0x82:  # noqa: PLR2004 - a length of two bytes
        size = 4 + int.from_bytes(data[2:4], "big")
        if len(data) < size:
            return
        yield data[:size]
        data = data[size:]


def _is_root(certificate: bytes) -> bool:
    return any(each.issuer == each.subject for each in load_certificates([certificate]))
