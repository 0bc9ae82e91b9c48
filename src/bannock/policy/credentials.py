"""What a service shows others that it is, in files: tokens and certificates that the runtime makes and renews.

Pure, and light to import.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from bannock.errors import InputError

__all__ = ["LIFETIME_SECONDS_MAX", "LIFETIME_SECONDS_MIN", "RaTlsFiles", "TokenFile"]

#: What is renewed at half its time asks the CAS every so often.
LIFETIME_SECONDS_MIN: Final = 60
#: So long may what was attested be vouched for without asking again.
LIFETIME_SECONDS_MAX: Final = 24 * 3600


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenFile:
    """Where a service finds its attestation result.

    Attributes:
        path: of the file.
        audience: whom it is for.
        lifetime: how many seconds it holds; it is renewed before.
    """

    path: str
    audience: str
    lifetime: int

    def __post_init__(self) -> None:
        if not self.audience:
            raise InputError("a token is for somebody")
        _require_lifetime(self.lifetime)


@dataclass(frozen=True, slots=True, kw_only=True)
class RaTlsFiles:
    """Where a service finds a certificate that says what it is, and its key; both in PEM.

    Attributes:
        certificate, private_key: paths of the files.
        lifetime: how many seconds the certificate holds; it is renewed before, for the same key.
    """

    certificate: str
    private_key: str
    lifetime: int

    def __post_init__(self) -> None:
        if self.certificate == self.private_key:
            raise InputError(f"certificate and private key are two files, found {self.certificate!r} for both")
        _require_lifetime(self.lifetime)


def _require_lifetime(seconds: int) -> None:
    if not LIFETIME_SECONDS_MIN <= seconds <= LIFETIME_SECONDS_MAX:
        raise InputError(
            f"a lifetime is from {LIFETIME_SECONDS_MIN} to {LIFETIME_SECONDS_MAX} seconds, found {seconds}"
        )
