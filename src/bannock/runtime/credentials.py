"""Files by which a service shows others what it is: made before the application starts, and renewed while it runs.

The files exist in the enclave alone. A renewal writes over the content, because a mounted file cannot be exchanged for
another one: who reads a token at that very moment may read parts of two, which verifies as neither.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import logging
import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol, Self

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from bannock.errors import BannockError
from bannock.evidence.ra_tls import AUDIENCE, RaTlsStatement, make_certificate
from bannock.values import KeyHash

if TYPE_CHECKING:
    from collections.abc import Callable

    from bannock.policy.configuration import Configuration
    from bannock.policy.credentials import RaTlsFiles, TokenFile

__all__ = ["Credentials", "Place", "Voucher"]

_log = logging.getLogger("bannock.runtime")

_PRIVATE: Final = 0o400
_PUBLIC: Final = 0o444
#: A renewal that failed is tried again, sooner than that would be needed.
_AGAIN_SECONDS: Final = 30.0


class Voucher(Protocol):
    """Whoever vouches for this service: the CAS by tokens, the platform by evidence."""

    @property
    def cas(self) -> KeyHash:
        """The CAS that configured this service."""

    @property
    def names(self) -> tuple[str, str]:
        """Session and service."""

    def token(self, audience: str, lifetime: int, key: ec.EllipticCurvePrivateKey | None = None) -> tuple[str, int]:
        """Return a token, and for how many seconds it holds."""

    def evidence(self, report_data: bytes) -> bytes:
        """Return evidence of this process that is bound to 64 bytes, in its envelope."""


class Place(Protocol):
    """What the application sees."""

    def place(self, path: Path, content: bytes, mode: int) -> Path:
        """Let a file appear, and return where its content is kept."""


class Credentials:
    """Makes the files of one service and keeps them good; a context manager.

    Args:
        voucher: who vouches for the service.
        configuration: says which files there are.
        clock: gives the time.
    """

    def __init__(self, voucher: Voucher, configuration: Configuration, clock: Callable[[], dt.datetime]) -> None:
        self._voucher = voucher
        self._token = configuration.attestation_token
        self._files = configuration.ra_tls
        self._clock = clock
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._evidence = b""
        self._kept: dict[str, Path] = {}
        self._ended = threading.Event()

    def place(self, root: Place) -> None:
        """Make the files, and begin to renew them.

        Raises:
            BannockError: the CAS does not vouch for this service, or no evidence is to be had.
        """
        tasks: list[tuple[Callable[[], tuple[bytes, int]], str]] = []
        if self._token is not None:
            token = self._token
            tasks.append((lambda: self._make_token(token), token.path))
        if self._files is not None:
            files = self._files
            key = self._key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
            root.place(Path(files.private_key), key, _PRIVATE)
            tasks.append((lambda: self._make_certificate(files), files.certificate))
        for make, path in tasks:
            content, seconds = make()
            mode = _PRIVATE if self._token is not None and path == self._token.path else _PUBLIC
            self._kept[path] = root.place(Path(path), content, mode)
            threading.Thread(target=self._renew, args=(make, path, seconds), name="credentials", daemon=True).start()

    def close(self) -> None:
        """Stop renewing."""
        self._ended.set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _make_token(self, file: TokenFile) -> tuple[bytes, int]:
        text, seconds = self._voucher.token(file.audience, file.lifetime)
        return text.encode("ascii"), seconds

    def _make_certificate(self, files: RaTlsFiles) -> tuple[bytes, int]:
        session, service = self._voucher.names
        text, seconds = self._voucher.token(AUDIENCE, files.lifetime, self._key)
        statement = RaTlsStatement(key=_hash_of(self._key), cas=self._voucher.cas, session=session, service=service)
        try:
            self._evidence = self._voucher.evidence(statement.report_data())
        except BannockError as error:
            if not self._evidence:
                raise
            _log.info("the certificate keeps the evidence that it had: %s", error)
        certificate = make_certificate(
            self._key,
            statement,
            evidence=self._evidence,
            token=text,
            at=self._clock(),
            lifetime=dt.timedelta(seconds=min(seconds, files.lifetime)),
        )
        return certificate.public_bytes(Encoding.PEM), seconds

    def _renew(self, make: Callable[[], tuple[bytes, int]], path: str, seconds: int) -> None:
        pause = seconds / 2
        while not self._ended.wait(pause):
            try:
                content, seconds = make()
                _write_over(self._kept[path], content)
            except (BannockError, OSError) as error:
                pause = min(_AGAIN_SECONDS, seconds / 4)
                _log.warning("cannot renew %s: %s; trying again in %.0f seconds", path, error, pause)
            else:
                pause = seconds / 2
                _log.debug("renewed %s for %d seconds", path, seconds)


def _hash_of(key: ec.EllipticCurvePrivateKey) -> KeyHash:
    public = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return KeyHash(hashlib.sha256(public).digest())


def _write_over(path: Path, content: bytes) -> None:
    """Change a file in memory by one write, so that there is hardly a moment at which it is neither."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.pwrite(descriptor, content, 0)
        os.ftruncate(descriptor, len(content))
    finally:
        os.close(descriptor)
