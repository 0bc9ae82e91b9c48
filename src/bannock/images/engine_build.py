"""Building of images by a container engine, from a Dockerfile and its files.

Source: Docker Engine API 1.41 (``/build``), the classic builder, which engines have without further parts.
"""

from __future__ import annotations

import base64
import json
import re
from typing import TYPE_CHECKING, Any, BinaryIO, Final
from urllib.parse import urlencode

from bannock.errors import InputError, PeerError
from bannock.images.digests import BLOCK
from bannock.images.references import ImageName

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from bannock.images.credentials import Credentials
    from bannock.images.engine_socket import EngineSocket

__all__ = ["build_image"]

#: A step may compile a whole project and say nothing meanwhile.
_SECONDS: Final = 3600.0
_LINE_BYTES_MAX: Final = 4 << 20
_ID: Final = re.compile(r"sha256:[0-9a-f]{64}")


def build_image(
    engine: EngineSocket,
    context: BinaryIO,
    *,
    name: str,
    bases: Iterable[str],
    credentials: Credentials,
    told: Callable[[str], None],
) -> str:
    """Build an image, and return the engine's id of it.

    Args:
        engine: builds it.
        context: a tar with the Dockerfile and what it copies, at its begin.
        name: of the image.
        bases: images that it is built on; the engine fetches those that it lacks.
        credentials: for their registries.
        told: gets what the steps print, line by line.

    Raises:
        InputError: a step failed.
        EnvironmentFault: the engine cannot be reached.
        PeerError: it answers in another way than engines do.
    """
    options = {"t": name, "rm": "1", "forcerm": "1", "version": "1"}
    size = context.seek(0, 2)
    context.seek(0)
    headers = {
        "Host": "docker",
        "Content-Type": "application/x-tar",
        "Content-Length": str(size),
        "X-Registry-Config": _logins(bases, credentials),
    }
    identity = ""
    with engine.answer("POST", f"/build?{urlencode(options)}", _SECONDS, _blocks(context), headers) as answer:
        while line := answer.readline(_LINE_BYTES_MAX):
            event = _event(line)
            if "error" in event:
                raise InputError(
                    f"the image cannot be built: {str(event['error'])[:1000]}",
                    hint="what the step printed is above; -v shows all steps",
                )
            if text := str(event.get("stream") or event.get("status") or "").rstrip("\n"):
                told(text)
            aux = event.get("aux")
            if isinstance(aux, dict) and _ID.fullmatch(str(aux.get("ID"))):
                identity = str(aux["ID"])
    if not identity:
        raise PeerError("the container engine built the image, and did not say which one it is")
    return identity


def _blocks(context: BinaryIO) -> Iterator[bytes]:
    while block := context.read(BLOCK):
        yield block


def _event(line: bytes) -> dict[str, Any]:
    try:
        event = json.loads(line)
    except ValueError:
        event = None
    if not isinstance(event, dict):
        raise PeerError("the container engine tells of the build in another way than engines do")
    return event


def _logins(bases: Iterable[str], credentials: Credentials) -> str:
    """Give the header by which an engine is let into registries; it is a secret."""
    logins: dict[str, Mapping[str, str]] = {}
    for base in bases:
        domain = ImageName.parse(base).domain
        login = credentials.login(domain)
        if login is not None:
            server = "https://index.docker.io/v1/" if domain == "docker.io" else domain
            secret = login.secret.reveal().decode("utf-8")
            logins[server] = (
                {"identitytoken": secret} if login.is_token else {"username": login.name, "password": secret}
            )
    return base64.urlsafe_b64encode(json.dumps(logins).encode()).decode("ascii")
