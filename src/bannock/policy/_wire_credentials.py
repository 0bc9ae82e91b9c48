"""The wire form of what a service shows others: its token, and its certificate with evidence.

Pure. As :mod:`bannock.policy._wire`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Final, Self, TypeAlias

from pydantic import BeforeValidator, model_validator
from pydantic_core import PydanticCustomError

from bannock.policy import _fields as fields
from bannock.policy import _secret_fields as secret_fields
from bannock.policy._wire_base import Model, PathBelowRoot
from bannock.policy.credentials import LIFETIME_SECONDS_MAX, LIFETIME_SECONDS_MIN, RaTlsFiles, TokenFile

__all__ = ["RaTlsWire", "TokenFileWire"]

_AUDIENCE: Final = re.compile(r"[^\s\x00-\x20\x7f-\x9f]{1,1024}")
_TOKEN_SECONDS: Final = 3600
_CERTIFICATE_SECONDS: Final = LIFETIME_SECONDS_MAX


def _lifetime(value: Any) -> int:
    seconds = int(secret_fields.duration(value).total_seconds())
    if not LIFETIME_SECONDS_MIN <= seconds <= LIFETIME_SECONDS_MAX:
        raise fields.expected("a duration from 1 minute to 1 day")
    return seconds


def _audience(value: Any) -> str:
    what = "whom the token is for: 1 to 1024 characters without spaces, an URL for example"
    text = fields.require_text(value, what)
    if not _AUDIENCE.fullmatch(text):
        raise fields.expected(what)
    return text


_Lifetime: TypeAlias = Annotated[int, BeforeValidator(_lifetime)]


class TokenFileWire(Model):
    """``attestation_token`` of a service."""

    slips: ClassVar[Mapping[str, str]] = {"aud": "audience", "file": "path", "valid_for": "lifetime"}

    path: PathBelowRoot
    audience: Annotated[str, BeforeValidator(_audience)]
    lifetime: _Lifetime = _TOKEN_SECONDS

    def built(self) -> TokenFile:
        """Give what it means."""
        return TokenFile(path=self.path, audience=self.audience, lifetime=self.lifetime)


class RaTlsWire(Model):
    """``ra_tls`` of a service."""

    slips: ClassVar[Mapping[str, str]] = {"cert": "certificate", "key": "private_key", "valid_for": "lifetime"}

    certificate: PathBelowRoot
    private_key: PathBelowRoot
    lifetime: _Lifetime = _CERTIFICATE_SECONDS

    @model_validator(mode="after")
    def _two_files(self) -> Self:
        if self.certificate == self.private_key:
            raise PydanticCustomError(fields.CONFLICT, "expected another path for private_key than for certificate")
        return self

    def built(self) -> RaTlsFiles:
        """Give what it means."""
        return RaTlsFiles(certificate=self.certificate, private_key=self.private_key, lifetime=self.lifetime)
