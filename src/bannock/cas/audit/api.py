"""The routes by which the owner of a CAS asks about its audit log.

Thin: a route takes a request apart, calls the service on a worker thread, and puts the answer together.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final

from fastapi import FastAPI, Query, Request, Response
from pydantic import BaseModel, Field

from bannock.cas.documents import problems
from bannock.net.peer import peer_of

if TYPE_CHECKING:
    from bannock.cas.audit.entry import ChainHead
    from bannock.cas.service import Cas

__all__ = ["add_audit_routes"]

_NUMBER_MAX: Final = 2**53 - 1
_From = Annotated[int, Query(alias="from", ge=1, le=_NUMBER_MAX, description="The first entry that is of interest")]
_To = Annotated[int | None, Query(alias="to", ge=1, le=_NUMBER_MAX, description="The last one; the newest without it")]
_LINES: Final[dict[int | str, dict[str, Any]]] = {
    200: {"content": {"application/x-ndjson": {"schema": {"type": "string"}}}}
}


class AuditPlace(BaseModel):
    """A place of the audit log: the number of an entry, and what the next one names as its predecessor."""

    sequence: int
    signature: str = Field(pattern="^[0-9a-f]*$")


class AuditPlaces(BaseModel):
    """What a CAS knows of its audit log."""

    cas_key_hash: str
    head: AuditPlace
    checkpoints: list[AuditPlace]
    certificate_chain: list[str]


def add_audit_routes(app: FastAPI, cas: Cas) -> None:
    """Add them to the client API."""

    @app.get("/v1/owner/audit", responses=problems(400, 403))
    async def get_audit(request: Request, first: _From = 1, last: _To = None) -> AuditPlaces:
        """Tell the owner the newest entry of the audit log, and checkpoints, at most 100, the newest of the range."""
        await cas.work(cas.owner.read, peer_of(request.scope).key_hash)
        history = await cas.work(cas.audit.places, first, last)
        return AuditPlaces(
            cas_key_hash=str(cas.key_hash),
            head=_place(history.head),
            checkpoints=[_place(each) for each in history.checkpoints],
            certificate_chain=list(history.certificate_chain),
        )

    @app.get(
        "/v1/owner/audit/log", responses={**problems(400, 403), **_LINES}, response_class=Response, response_model=None
    )
    async def get_audit_log(request: Request, first: _From = 1, last: _To = None) -> Response:
        """Give the owner the entries that the database has, a line each; some, if they are many: ask for the rest."""
        await cas.work(cas.owner.read, peer_of(request.scope).key_hash)
        return Response(await cas.work(cas.audit.lines, first, last), media_type="application/x-ndjson")


def _place(head: ChainHead) -> AuditPlace:
    return AuditPlace(sequence=head.sequence, signature=head.link.hex())
