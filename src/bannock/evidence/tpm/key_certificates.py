"""Certificates of an attestation key that authorities have given for it, in a directory or in memory alone."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

from cryptography.hazmat.primitives.serialization import Encoding

from bannock.errors import EnvironmentFault
from bannock.evidence.tpm.certificates import load_certificates
from bannock.evidence.tpm.keys import certified
from bannock.files import private_directory, write_atomically

if TYPE_CHECKING:
    from pathlib import Path

    from cryptography import x509

__all__ = ["KeyCertificates"]

#: One for each CAS that enclaves of this machine are configured by.
_KEPT_MAX: Final = 16
_SUFFIX: Final = ".der"


class KeyCertificates:
    """The certificates, one of each authority, of which the newest are kept.

    Args:
        directory: where they are kept; None for memory.
    """

    def __init__(self, directory: Path | None) -> None:
        self._directory = directory
        self._kept: dict[str, bytes] = {}
        if directory is not None:
            private_directory(directory)
            files = sorted(directory.glob(f"*{_SUFFIX}"), key=lambda path: path.stat().st_mtime_ns)
            self._kept = {path.name: _read(path) for path in files[-_KEPT_MAX:]}

    def of(self, key: bytes) -> tuple[bytes, ...]:
        """Give those of a key (DER SubjectPublicKeyInfo), DER; of one that the TPM had before there may be others."""
        found = load_certificates(reversed(self._kept.values()))
        return tuple(each.public_bytes(Encoding.DER) for each in found if certified(each) == key)

    def keep(self, certificate: x509.Certificate) -> None:
        """Keep one, in place of an older one of its authority."""
        name = hashlib.sha256(certificate.issuer.public_bytes()).hexdigest()[:32] + _SUFFIX
        encoded = certificate.public_bytes(Encoding.DER)
        self._kept.pop(name, None)
        self._kept[name] = encoded
        dropped = list(self._kept)[:-_KEPT_MAX]
        for each in dropped:
            del self._kept[each]
        if self._directory is not None:
            write_atomically(self._directory / name, encoded)
            for each in dropped:
                (self._directory / each).unlink(missing_ok=True)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise EnvironmentFault(f"cannot read {path}: {error.strerror}") from error
