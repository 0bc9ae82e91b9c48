"""One file on a service in the manner of transfer.sh: sent while it is made, fetched with patience.

Standard library alone.
"""

from __future__ import annotations

import os
import time
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from bannock.errors import EnvironmentFault, InputError, IntegrityError, PeerError
from bannock.execution.transfer.web import origin, parse_url, read_at_most, request, upload

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from bannock.execution.transfer.web import Upload

__all__ = ["fetch_file", "send_file", "service_url"]

_BLOCK: Final = 1 << 20
_ANSWER_BYTES_MAX: Final = 16 << 10
_ATTEMPTS: Final = 5
_PAUSE_SECONDS: Final = 1.0
#: More than one machine works on in one run.
_BYTES_MAX: Final = 1 << 40


def service_url(name: str) -> str:
    """Return the URL of a service, which may be named without a scheme.

    Raises:
        InputError: it is none.
    """
    url = name if "://" in name else f"https://{name}"
    parse_url(url)
    return url.rstrip("/")


def send_file(
    service: str, name: str, write: Callable[[Upload], None], *, days: int = 7, verified: bool = True
) -> str:
    """Send a file to a service, and return the URL that it has there.

    Args:
        service: as :func:`service_url` has it.
        name: of the file.
        write: writes its content; called once, so that what is sent again is made again.
        days: how long the service is asked to keep it.
        verified: whether the service has to prove who it is.

    Raises:
        BannockError: the service cannot be reached, or does not take it.
    """
    with upload(f"{service}/{name}", headers={"Max-Days": str(days)}, verified=verified) as sent:
        write(sent)
        url = bytes(read_at_most(sent.finish(), _ANSWER_BYTES_MAX)).decode("utf-8", "replace").strip()
    try:
        parse_url(url)
    except InputError as error:
        raise PeerError(f"the transfer service at {origin(parse_url(service))} answered without a URL") from error
    return url


def fetch_file(
    url: str, target: Path, *, verified: bool = True, attempts: int = _ATTEMPTS, pause: float = _PAUSE_SECONDS
) -> None:
    """Fetch a file into a new one, and go on where it was broken off.

    Raises:
        NotFoundError: it is not there (any more).
        IntegrityError: it is larger than anything that is sent.
        EnvironmentFault: the service cannot be reached, or the disk does not take it.
    """
    with os.fdopen(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        for attempt in range(1, attempts + 1):
            have = file.tell()
            headers = {"Range": f"bytes={have}-"} if have else {}
            try:
                with request("GET", url, headers=headers, verified=verified) as answer:
                    if have and answer.status != HTTPStatus.PARTIAL_CONTENT:
                        file.seek(0)
                        file.truncate()
                    while data := answer.read(_BLOCK):
                        file.write(data)
                        if file.tell() > _BYTES_MAX:
                            raise IntegrityError(f"{url} has more than {_BYTES_MAX} bytes")
                    if answer.length:
                        raise EnvironmentFault(f"the transfer service broke off {answer.length} bytes before the end")
                    return
            except EnvironmentFault:
                if attempt == attempts:
                    raise
                time.sleep(pause * attempt)
