"""Whom the operator of a CAS trusts to vouch for TPMs: the certificates in a directory, and lists of revoked ones."""

from __future__ import annotations

import datetime as dt
import logging
import threading
from typing import TYPE_CHECKING, Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from bannock.errors import InputError
from bannock.evidence.endorsements import Endorsements
from bannock.files import read_bounded

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["TpmRoots"]

_log = logging.getLogger(__name__)

_READ_AGAIN: Final = dt.timedelta(minutes=1)
_FILE_BYTES_MAX: Final = 4 << 20


class TpmRoots:
    """A directory of certificates, ``*.pem``, ``*.crt``, ``*.cer`` or ``*.der``, and lists, ``*.crl``; thread-safe.

    Args:
        directory: which; None for nobody.

    Raises:
        InputError: it cannot be read, or a file in it is none of these.
    """

    def __init__(self, directory: Path | None) -> None:
        self._directory = directory
        self._lock = threading.Lock()
        self._known = _load(directory)
        self._read: dt.datetime | None = None

    def at(self, now: dt.datetime) -> Endorsements:
        """Give roots and lists. They are read again now and then, because lists of revoked certificates are renewed.

        What cannot be read then does not count, and what was read before does.
        """
        with self._lock:
            if self._read is None:
                self._read = now
            elif self._directory is not None and abs(now - self._read) > _READ_AGAIN:
                self._read = now
                try:
                    self._known = _load(self._directory)
                except InputError as error:
                    _log.warning("whom to trust to vouch for TPMs stays as it was: %s", error)
            return self._known


def _load(directory: Path | None) -> Endorsements:
    if directory is None:
        return Endorsements()
    roots: list[bytes] = []
    crls: list[bytes] = []
    try:
        paths = sorted(path for path in directory.iterdir() if path.is_file() and not path.name.startswith("."))
    except OSError as error:
        raise InputError(f"cannot read the directory [tpm] roots {directory}: {error.strerror}") from error
    for path in paths:
        content = read_bounded(path, _FILE_BYTES_MAX)
        pem = content.lstrip().startswith(b"-----BEGIN")
        try:
            if path.suffix == ".crl":
                crl = x509.load_pem_x509_crl(content) if pem else x509.load_der_x509_crl(content)
                crls.append(crl.public_bytes(Encoding.DER))
            elif pem:
                roots += [each.public_bytes(Encoding.DER) for each in x509.load_pem_x509_certificates(content)]
            else:
                roots.append(x509.load_der_x509_certificate(content).public_bytes(Encoding.DER))
        except (ValueError, TypeError) as error:
            what = "list of revoked certificates" if path.suffix == ".crl" else "certificate"
            raise InputError(f"{path} holds no {what}", hint="[tpm] roots is a directory of nothing else") from error
    return Endorsements(roots=tuple(roots), crls=tuple(crls))
