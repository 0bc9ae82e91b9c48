"""Asking the services of vendors: HTTPS, bounded in size and in time, and not again while they want to be left alone.

Thread-safe. Nothing is followed, and what comes is not verified here: vendors sign what they publish.
"""

from __future__ import annotations

import email.utils
import http.client
import ssl
import threading
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from bannock.errors import DeniedError, EnvironmentFault, InputError, NotFoundError, PeerError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

__all__ = ["Answer", "VendorWeb"]

_ANSWER_BYTES_MAX: Final = 4 << 20
_TIMEOUT_SECONDS: Final = 10.0
#: What a service that is busy, or is not there, is left alone for, unless it says how long.
_PAUSE_SECONDS: Final = 30.0
_PAUSE_SECONDS_MAX: Final = 3600.0
_BUSY: Final = frozenset({HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE})
_PIECE_BYTES: Final = 64 << 10
_SHOWN_CHARACTERS_MAX: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """An answer, read whole; header names are in lower case."""

    body: bytes
    headers: Mapping[str, str]


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        return


class VendorWeb:
    """Asks, and remembers whom not to ask for a while.

    Args:
        ca_file: PEM of the authorities that vouch for the services; None: those of the system.
        seconds: how long a question may take in all.
        monotonic: tells how long ago a service asked to be left alone.
    """

    def __init__(
        self,
        *,
        ca_file: Path | None = None,
        seconds: float = _TIMEOUT_SECONDS,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ca_file = ca_file
        self._seconds = seconds
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._pauses: dict[str, tuple[float, str]] = {}

    def get(self, what: str, url: str, headers: Mapping[str, str] | None = None) -> Answer:
        """Ask for something.

        Args:
            what: is asked for, for messages.
            url: with https.
            headers: of the request.

        Raises:
            NotFoundError: the service has no such thing.
            DeniedError: it does not give it to us.
            EnvironmentFault: it cannot be reached, takes too long, or wants to be left alone for a while.
            PeerError: it answers with something else.
            InputError: the address is none.
        """
        parts = urlsplit(url)
        if parts.scheme != "https" or not parts.hostname:
            raise InputError(f"{what} is asked for over https, found {parts.scheme[:20]!r}")
        self._require_willing(what, parts.netloc)
        request = urllib.request.Request(url, headers=dict(headers or {}))  # noqa: S310 - https, as checked
        end = self._monotonic() + self._seconds
        try:
            with self._opener().open(request, timeout=self._seconds) as answer:
                return Answer(
                    body=self._read(what, answer, end),
                    headers={name.lower(): value for name, value in answer.headers.items()},
                )
        except urllib.error.HTTPError as error:
            with error:
                raise self._refusal(what, parts.netloc, error) from None
        except (OSError, ValueError, http.client.HTTPException) as error:
            reason = _shown(str(getattr(error, "reason", error)) or type(error).__name__)
            self._pause(parts.netloc, _PAUSE_SECONDS, f"it could not be reached: {reason}")
            raise EnvironmentFault(
                f"cannot get {what} from {parts.netloc}: {reason}",
                hint="check the address in [collateral], or import the collateral and set offline = true",
            ) from None

    def _opener(self) -> urllib.request.OpenerDirector:
        context = ssl.create_default_context(cafile=self._ca_file)
        return urllib.request.build_opener(urllib.request.HTTPSHandler(context=context), _NoRedirect)

    def _read(self, what: str, answer: http.client.HTTPResponse, end: float) -> bytes:
        pieces: list[bytes] = []
        size = 0
        while piece := answer.read1(_PIECE_BYTES):
            pieces.append(piece)
            size += len(piece)
            if size > _ANSWER_BYTES_MAX:
                raise PeerError(f"the answer for {what} is longer than {_ANSWER_BYTES_MAX} bytes")
            if self._monotonic() > end:
                raise TimeoutError(f"the answer took longer than {self._seconds:.0f} s")
        return b"".join(pieces)

    def _require_willing(self, what: str, host: str) -> None:
        with self._lock:
            until, why = self._pauses.get(host, (0.0, ""))
        left = until - self._monotonic()
        if left > 0:
            raise EnvironmentFault(f"{host} is not asked for {what} for another {left:.0f} s: {why}")

    def _pause(self, host: str, seconds: float, why: str) -> None:
        with self._lock:
            self._pauses[host] = self._monotonic() + min(seconds, _PAUSE_SECONDS_MAX), why

    def _refusal(
        self, what: str, host: str, error: urllib.error.HTTPError
    ) -> DeniedError | EnvironmentFault | PeerError:
        message = f"{host} answers {error.code} for {what}"
        match error.code:
            case HTTPStatus.NOT_FOUND:
                return NotFoundError(message)
            case HTTPStatus.UNAUTHORIZED | HTTPStatus.FORBIDDEN:
                return DeniedError(message, hint="check subscription_key in the section [dcap] of the owner")
            case code if code in _BUSY:
                self._pause(host, _retry_after(error.headers.get("Retry-After")), f"it answered {code}")
                return EnvironmentFault(message, hint="it is asked again later")
            case code if code >= HTTPStatus.INTERNAL_SERVER_ERROR:
                self._pause(host, _PAUSE_SECONDS, f"it answered {code}")
                return EnvironmentFault(message)
            case _:
                return PeerError(message)


def _retry_after(text: str | None) -> float:
    """Read how long to wait (RFC 9110, section 10.2.3): seconds, or a date."""
    if text is None:
        return _PAUSE_SECONDS
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        return max(0.0, email.utils.parsedate_to_datetime(text).timestamp() - time.time())
    except (ValueError, TypeError, OverflowError):
        return _PAUSE_SECONDS


def _shown(text: str) -> str:
    return "".join(character if character.isprintable() else "�" for character in text[:_SHOWN_CHARACTERS_MAX])
