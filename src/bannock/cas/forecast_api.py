"""The routes of the owner for collateral: the forecast, what is needed, what is brought, and what it would change."""

from __future__ import annotations

import datetime as dt
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import FastAPI, Query, Request, Response
from pydantic import BaseModel

from bannock.cas.documents import problems
from bannock.cas.owner import require_owner
from bannock.errors import EvidenceError, InputError
from bannock.evidence.collateral.bundle import sign_bundle
from bannock.evidence.endorsements import Endorsements
from bannock.net.peer import peer_of
from bannock.policy.parse import parse_session

if TYPE_CHECKING:
    from bannock.cas.forecasting import Outlook, Replay
    from bannock.cas.service import Cas
    from bannock.policy.session import Session

__all__ = ["add_forecast_routes", "moment", "outlook_document"]

_DAYS_MAX = 36_500
_MEDIA_TYPE = "application/jose"
_Days = Annotated[int | None, Query(ge=0, le=_DAYS_MAX, description="only those that would stop within so many")]
_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": "Endorsements in their canonical form",
        "content": {"application/json": {"schema": {"type": "object"}}},
    }
}


_SESSION: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": "A session document, its variables replaced",
        "content": {"text/plain": {"schema": {"type": "string"}}},
    }
}


class OutlookDocument(BaseModel):
    """When one service on one machine would stop attesting."""

    session: str
    service: str
    machine: str
    platform: str
    seen: str
    until: str | None
    why: list[str]
    remedy: str
    stopped: bool


class Forecast(BaseModel):
    """The forecast, the first to stop first."""

    at: str
    outlooks: list[OutlookDocument]


class Kept(BaseModel):
    """What was kept of collateral that was brought."""

    kept: list[str]
    refused: list[str]


class ReplayDocument(BaseModel):
    """What collateral, or another version of a session, would change."""

    at: str
    total: int
    stops: list[OutlookDocument]
    recovers: list[OutlookDocument]
    refused: list[str]


def outlook_document(outlook: Outlook) -> dict[str, Any]:
    """Write an outlook as JSON has it."""
    return {
        **asdict(outlook),
        "seen": moment(outlook.seen),
        "until": None if outlook.until is None else moment(outlook.until),
        "why": list(outlook.why),
    }


def add_forecast_routes(app: FastAPI, cas: Cas) -> None:
    """Add them to the client API."""

    @app.get("/v1/owner/forecast", responses=problems(400, 403))
    async def get_forecast(
        request: Request, days: Annotated[int | None, Query(ge=0, le=_DAYS_MAX)] = None
    ) -> Forecast:
        """Tell which services would stop attesting, when and why."""
        await cas.work(_require_owner, cas, request)
        found = await cas.work(cas.forecasting.forecast, days=days)
        return Forecast(
            at=moment(cas.forecasting.now), outlooks=[OutlookDocument(**outlook_document(each)) for each in found]
        )

    @app.get(
        "/v1/owner/collateral",
        responses={**problems(400, 403), 200: {"content": {_MEDIA_TYPE: {"schema": {"type": "string"}}}}},
        response_class=Response,
    )
    async def get_collateral(request: Request, refresh: Annotated[bool, Query()] = False) -> Response:  # noqa: FBT002
        """Give all collateral that evidence needs, signed by the CAS; with what is missing."""
        await cas.work(_require_owner, cas, request)
        found, missing = await cas.work(cas.forecasting.needed, refresh=refresh)
        text = sign_bundle(cas.store.identity, found, cas.forecasting.now, missing=missing)
        return Response(text, media_type=_MEDIA_TYPE)

    @app.put("/v1/owner/collateral", responses=problems(400, 403), openapi_extra=_BODY)
    async def put_collateral(request: Request) -> Kept:
        """Bring collateral: what vendors vouch for, and is newer than what there is, is kept."""
        await cas.work(_require_owner, cas, request)
        brought = _endorsements(await request.body())
        kept, refused = await cas.work(cas.endorsing.bring, brought)
        await cas.work(cas.store.tell, "collateral_imported", {"kept": kept, "refused": refused})
        return Kept(kept=kept, refused=refused)

    @app.post("/v1/owner/collateral/replay", responses=problems(400, 403), openapi_extra=_BODY)
    async def post_replay(request: Request, at: str | None = None) -> ReplayDocument:
        """Tell what collateral would change for evidence that was seen; nothing is kept of it."""
        await cas.work(_require_owner, cas, request)
        when = cas.forecasting.now if at is None else _parsed(at)
        found = await cas.work(cas.forecasting.replay, _endorsements(await request.body()), at=when)
        return _replay_document(found, when)

    @app.post("/v1/owner/forecast/replay", responses=problems(400, 403), openapi_extra=_SESSION)
    async def post_session_replay(request: Request) -> ReplayDocument:
        """Tell what another version of a session would change for evidence that was seen; nothing is kept of it."""
        await cas.work(_require_owner, cas, request)
        session = await cas.work(_session, await request.body())
        return _replay_document(await cas.work(cas.forecasting.replay_session, session), cas.forecasting.now)


def _replay_document(found: Replay, at: dt.datetime) -> ReplayDocument:
    return ReplayDocument(
        at=moment(at),
        total=found.total,
        stops=[OutlookDocument(**outlook_document(each)) for each in found.stops],
        recovers=[OutlookDocument(**outlook_document(each)) for each in found.recovers],
        refused=list(found.refused),
    )


def _session(body: bytes) -> Session:
    try:
        return parse_session(body.decode("utf-8"), variables=None)
    except UnicodeDecodeError as error:
        raise InputError(f"the body is UTF-8 text, byte {error.start} is not") from None


def _require_owner(cas: Cas, request: Request) -> None:
    with cas.store.reading() as view:
        require_owner(view, peer_of(request.scope).key_hash)


def _endorsements(body: bytes) -> Endorsements:
    try:
        return Endorsements.from_json(body)
    except EvidenceError as error:
        raise InputError(f"the body is not collateral: {error}") from error


def _parsed(text: str) -> dt.datetime:
    try:
        found = dt.datetime.fromisoformat(text)
    except ValueError:
        found = None
    if found is None or found.tzinfo is None:
        raise InputError("at is a time with its zone, as in 2026-03-01T12:00:00Z")
    return found


def moment(at: dt.datetime) -> str:
    """Write a time as JSON has it."""
    return at.astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
