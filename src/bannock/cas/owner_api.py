"""The routes of the owner: claim a CAS, configure it; and what is open to others before it has an owner.

Thin: a route takes a request apart, calls the service on a worker thread, and puts the answer together.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final

from fastapi import FastAPI, Header, Request, Response

from bannock.cas.documents import OwnerStatus, ProvisionRequest, problems
from bannock.cas.owner_config import ConfigFormat
from bannock.errors import InputError
from bannock.net.peer import peer_of
from bannock.values import Secret

if TYPE_CHECKING:
    from bannock.cas.owner import OwnerRecord
    from bannock.cas.service import Cas

__all__ = ["add_owner_routes", "admit"]

#: What answers before a CAS that needs an owner has one.
_OPEN_PATHS: Final = (
    "/v1/attest",
    "/v1/owner",
    "/v1/backup",
    "/v1/replica",
    "/livez",
    "/readyz",
    "/.well-known/",
    "/metrics",
    "/openapi.json",
    # It tells people in its own way that there is no owner.
    "/console",
)
_MEDIA_TYPES: Final = {
    ConfigFormat.TOML: "application/toml",
    ConfigFormat.JSON: "application/json",
    ConfigFormat.YAML: "application/yaml",
}
_FORMATS: Final = {
    **{media_type: form for form, media_type in _MEDIA_TYPES.items()},
    "": ConfigFormat.TOML,
    "application/x-www-form-urlencoded": ConfigFormat.TOML,  # what curl says where nothing is said
    "text/plain": ConfigFormat.TOML,
    "application/x-yaml": ConfigFormat.YAML,
    "text/yaml": ConfigFormat.YAML,
}
_DOCUMENT: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "description": "The configuration",
        "content": {media_type: {"schema": {"type": "string"}} for media_type in _MEDIA_TYPES.values()},
    }
}
_CONFIG: Final[dict[int | str, dict[str, Any]]] = {
    200: {"content": {media_type: {"schema": {"type": "string"}} for media_type in _MEDIA_TYPES.values()}}
}


async def admit(cas: Cas, path: str) -> None:
    """Keep a CAS that needs an owner closed until it has one.

    Raises:
        DeniedError: it is.
    """
    if cas.owner.required and cas.owner.record is None and not path.startswith(_OPEN_PATHS):
        await cas.work(cas.owner.require_provisioned)


def add_owner_routes(app: FastAPI, cas: Cas) -> None:
    """Add them to the client API."""

    @app.get("/v1/owner", responses=problems())
    async def get_owner() -> OwnerStatus:
        """Tell whether the CAS has an owner; not who it is."""
        await cas.work(cas.owner.refresh)
        return _status(cas, cas.owner.record)

    @app.post("/v1/owner/provision", responses=problems(400, 403, 409))
    async def post_provision(request: Request, body: ProvisionRequest) -> OwnerStatus:
        """Become the owner, with the token that the CAS printed at its start."""
        record = await cas.work(
            cas.owner.provision,
            peer_of(request.scope).key_hash,
            body.token,
            body.config,
            body.format,
            None if body.database_key is None else Secret(bytes.fromhex(body.database_key)),
        )
        return _status(cas, record)

    @app.get(
        "/v1/owner/config", responses={**problems(400, 403), **_CONFIG}, response_class=Response, response_model=None
    )
    async def get_config(request: Request) -> Response:
        """Read the configuration, as its owner sent it, with the credentials that are in it."""
        record = await cas.work(cas.owner.read, peer_of(request.scope).key_hash)
        return Response(record.text, media_type=_MEDIA_TYPES[record.form])

    @app.put("/v1/owner/config", responses=problems(400, 403), openapi_extra=_DOCUMENT)
    async def put_config(request: Request, content_type: Annotated[str, Header()] = "") -> OwnerStatus:
        """Replace the configuration; the content type says how it is written, TOML unless it is said."""
        text = _text(await request.body())
        record = await cas.work(cas.owner.update, peer_of(request.scope).key_hash, text, _format(content_type))
        return _status(cas, record)


def _status(cas: Cas, record: OwnerRecord | None) -> OwnerStatus:
    return OwnerStatus(
        cas_key_hash=str(cas.key_hash),
        provisioned=record is not None,
        provisioning_required=cas.owner.required,
        owner_secret_access=record is not None and record.secret_access,
    )


def _format(content_type: str) -> ConfigFormat:
    media_type = content_type.partition(";")[0].strip().lower()
    form = _FORMATS.get(media_type)
    if form is None:
        raise InputError(f"a configuration is {', '.join(_MEDIA_TYPES.values())}, found {media_type[:80]!r}")
    return form


def _text(body: bytes) -> str:
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"a configuration is UTF-8 text, byte {error.start} is not") from None
