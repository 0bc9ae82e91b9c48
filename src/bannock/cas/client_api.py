"""The client API: sessions, public values and states of volumes.

Thin: a route takes a request apart, calls the service on a worker thread, and puts the answer together.
"""

from __future__ import annotations

import functools
import re
from typing import TYPE_CHECKING, Annotated, Any, Final

from fastapi import FastAPI, Path, Query, Request

from bannock.cas.access import client_of
from bannock.cas.audit.api import add_audit_routes
from bannock.cas.backup_api import add_backup_routes
from bannock.cas.console.door import Console
from bannock.cas.documents import (
    Activated,
    ActivateRequest,
    CasAttestation,
    Health,
    Replica,
    SessionHash,
    SessionText,
    Value,
    Values,
    VolumeTag,
    problems,
)
from bannock.cas.forecast_api import add_forecast_routes
from bannock.cas.owner_api import add_owner_routes, admit
from bannock.cas.vouching import PATH
from bannock.cas.web import pretty, web_application
from bannock.errors import InputError, NotFoundError
from bannock.net.peer import peer_of

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from bannock.cas.hot import HotRoutes
    from bannock.cas.service import Cas
    from bannock.net.peer import Peer

__all__ = ["client_application"]

_SESSION: Final = r"session=(?P<session>[^,=]{1,1024})"
_VALUES: Final = re.compile(_SESSION + r"(?:,secret=(?P<secret>[^,=]{1,256}))?")
_VOLUME: Final = re.compile(_SESSION + r",volume=(?P<volume>[^,=]{1,256})")

_DOCUMENT: Final = {
    "requestBody": {
        "required": True,
        "description": "A session document in YAML, or a signed or encrypted one in JSON; under any content type",
        "content": {"*/*": {"schema": {"type": "string"}}},
    }
}

_Name = Annotated[str, Path(description="The name of the session, with its namespace", min_length=1, max_length=1024)]
_Hash = Annotated[str | None, Query(alias="hash", description="An older version, instead of the one in force")]

_Nonce = Annotated[
    str | None, Query(description="Up to 64 bytes that nobody could know before", pattern="^([0-9a-f]{2}){1,64}$")
]


def client_application(cas: Cas, *, console: bool = True) -> ASGIApp:
    """Make the ASGI application of the client API, and of the pages for people beside it if they are wished for."""

    def add_routes(app: FastAPI) -> None:
        _add_sessions(app, cas)
        _add_reading(app, cas)
        _add_attestation(app, cas)
        add_owner_routes(app, cas)
        add_forecast_routes(app, cas)
        add_backup_routes(app, cas)
        add_audit_routes(app, cas)
        _add_keys(app, cas)
        _add_health(app, cas)

    async def session(peer: Peer, name: str, _body: bytes) -> bytes:
        stored = await cas.work(cas.sessions.read, name, client_of(peer))
        return pretty({"session": stored.text, "hash": stored.digest, "receipt": cas.receipt(stored)})

    def add_hot(hot: HotRoutes) -> None:
        hot.add("GET", "/v1/sessions/", session)
        hot.add("GET", "/session/", session)

    return web_application(
        "Bannock CAS",
        add_routes,
        add_hot,
        admit=functools.partial(admit, cas),
        count=cas.counting("client"),
        around=(lambda app: Console(app, cas)) if console else lambda app: app,
    )


def _add_sessions(app: FastAPI, cas: Cas) -> None:
    async def post_session(request: Request) -> SessionHash:
        """Make a session, or a new version of the one that names its predecessor."""
        text = _document(await request.body())
        stored = await cas.work(cas.sessions.put, text, client_of(peer_of(request.scope)))
        return SessionHash(hash=stored.digest, receipt=cas.receipt(stored))

    async def get_session(request: Request, name: _Name, digest: _Hash = None) -> SessionText:
        """Read a session."""
        stored = await cas.work(cas.sessions.read, name, client_of(peer_of(request.scope)), digest=digest)
        return SessionText(session=stored.text, hash=stored.digest, receipt=cas.receipt(stored))

    async def get_none() -> None:
        raise NotFoundError("Session not found: the path names none, expected /v1/sessions/NAME")

    for number, path in enumerate(("/v1/sessions", "/session")):
        known: dict[str, Any] = {"include_in_schema": True, "deprecated": bool(number) or None}
        app.add_api_route(
            path,
            post_session,
            methods=["POST"],
            status_code=201,
            responses=problems(400, 403, 404, 409),
            openapi_extra=_DOCUMENT,
            operation_id=f"post_session_{number}",
            **known,
        )
        app.add_api_route(
            path + "/{name:path}",
            get_session,
            methods=["GET"],
            responses=problems(400, 403, 404),
            operation_id=f"get_session_{number}",
            **known,
        )
        # Clients find out by it whether a CAS answers; the description has it not, as it gives nothing.
        app.add_api_route(path, get_none, methods=["GET"], include_in_schema=False)


def _add_reading(app: FastAPI, cas: Cas) -> None:
    @app.get("/v1/values/{selector:path}", responses=problems(400, 404))
    async def get_values(selector: str) -> Values | Value:
        """Read what a session exports to the public: ``session=NAME`` or ``session=NAME,secret=NAME``."""
        session, secret = _selected(_VALUES, selector, "session=NAME[,secret=NAME]")
        if secret is None:
            values = await cas.work(cas.reading.values, session)
            return Values(values={name: Value(value=value) for name, value in values.items()})
        return Value(value=await cas.work(cas.reading.value, session, secret))

    @app.get("/v1/volumes/{selector:path}", responses=problems(400, 403, 404))
    async def get_volume(request: Request, selector: str) -> VolumeTag:
        """Read the confirmed state of a volume: ``session=NAME,volume=NAME``."""
        session, volume = _selected(_VOLUME, selector, "session=NAME,volume=NAME")
        tag = await cas.work(cas.reading.volume_tag, session, str(volume), client_of(peer_of(request.scope)))
        return VolumeTag(tag=None if tag is None else str(tag))


def _add_attestation(app: FastAPI, cas: Cas) -> None:
    @app.get("/v1/attest", responses=problems(400))
    async def get_attest(request: Request, nonce: _Nonce = None) -> CasAttestation:
        """Attest the CAS itself: its keys, and evidence that is bound to them, a nonce and this connection."""
        return CasAttestation.model_validate(await cas.work(cas.attest_itself, peer_of(request.scope), nonce))

    @app.post("/v1/attest/activate", responses=problems(400, 403))
    async def post_activate(body: ActivateRequest) -> Activated:
        """Have the TPM behind this CAS prove itself; the evidence shows afterwards what it has opened."""
        await cas.work(cas.self_attestation.activate, body.challenge)
        return Activated(activated=True)


def _add_keys(app: FastAPI, cas: Cas) -> None:
    @app.get("/.well-known/jwks.json", responses=problems())
    async def get_jwks() -> dict[str, Any]:
        """Tell the keys that attestation results are signed with (RFC 7517)."""
        return cas.tokens.key_set.to_document()

    @app.get("/.well-known/openid-configuration", responses=problems(404))
    async def get_openid_configuration() -> dict[str, Any]:
        """Tell where the keys are to programs that look for them where issuers of identity tokens have them."""
        return cas.tokens.discovery()


def _add_health(app: FastAPI, cas: Cas) -> None:
    @app.get("/livez", responses=problems())
    async def get_livez() -> Health:
        """Tell that the process answers; whoever gets no answer may start it anew."""
        return Health(status="alive")

    @app.get("/readyz", responses=problems())
    async def get_readyz() -> Health:
        """Tell whether requests can be answered now, 503 where they cannot: the database is away, for example."""
        await cas.work(cas.require_ready)
        return Health(status="ready")

    @app.get(PATH, responses=problems(403))
    async def get_replica(request: Request) -> Replica:
        """Tell a new replica of this CAS, and nobody else, how many changes the database has."""
        return Replica(changes=await cas.work(cas.vouch, peer_of(request.scope).key_hash))


def _document(body: bytes) -> str:
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"a session document is UTF-8 text, byte {error.start} is not") from None


def _selected(pattern: re.Pattern[str], selector: str, form: str) -> tuple[str, str | None]:
    match = pattern.fullmatch(selector)
    if match is None:
        raise InputError(f"the path ends with {form}, found {selector[:80]!r}")
    session, detail = match.groups()
    return session, detail
