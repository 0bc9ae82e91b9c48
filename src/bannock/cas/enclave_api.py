"""The enclave interface: a nonce, an attestation, and the commits of whoever was attested.

Thin: a route takes a request apart, calls the service on a worker thread, and puts the answer together. One
connection is one enclave: its key, its exporter value and what it has proven are in the peer of the connection.
"""

from __future__ import annotations

import functools
from base64 import b64decode, b64encode
from typing import TYPE_CHECKING, Annotated, Any, Final

from fastapi import FastAPI, Path, Request, Response

from bannock.cas.attestation import Start
from bannock.cas.commits import ATTESTED, Attested, Step
from bannock.cas.documents import (
    AttestRequest,
    CommitRequest,
    CommitsRequest,
    ExportedSecret,
    ExportRequest,
    Nonce,
    SecretsRequest,
    SecretTexts,
    Tag,
    Tags,
    Token,
    TokenWish,
    problems,
)
from bannock.cas.hot import Answer, parsed
from bannock.cas.owner_api import admit
from bannock.cas.second_factors import Shown
from bannock.cas.tokens import TokenRequest
from bannock.cas.web import pretty, web_application
from bannock.errors import EvidenceError, InputError
from bannock.net.peer import peer_of
from bannock.policy.canonical import canonical_json
from bannock.values import FspfTag

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from bannock.cas.attestation import Released
    from bannock.cas.hot import HotRoutes
    from bannock.cas.service import Cas
    from bannock.net.peer import Peer

__all__ = ["enclave_application"]

#: Headers of an attestation's answer: that the CAS knows the service access token, and what resumes the start.
_ACCESS_PROOF: Final = "bannock-access-proof"
_RESUMPTION: Final = "bannock-resumption"
_Volume = Annotated[str, Path(description="The name of the volume", max_length=1024)]


def enclave_application(cas: Cas) -> ASGIApp:
    """Make the ASGI application of the enclave interface."""
    return web_application(
        "Bannock CAS, enclave interface",
        functools.partial(_add_routes, cas),
        functools.partial(_add_hot, cas),
        admit=functools.partial(admit, cas),
        count=cas.counting("enclave"),
    )


def _add_routes(cas: Cas, app: FastAPI) -> None:
    @app.post("/v1/enclave/nonce", responses=problems(400))
    async def post_nonce(request: Request) -> Nonce:
        """Ask for a nonce; an older one of this connection is void."""
        return Nonce(nonce=cas.attestation.nonce(peer_of(request.scope)).hex())

    @app.post("/v1/enclave/attest", responses=problems(400, 403, 404), response_class=Response)
    async def post_attest(request: Request, body: AttestRequest) -> Response:
        """Prove to be a service of a session, and get its configuration."""
        released = await _attest(cas, peer_of(request.scope), body)
        return Response(released.configuration.to_json(), media_type="application/json", headers=_headers(released))

    @app.post("/v1/enclave/secrets", responses=problems(400, 403, 409))
    async def post_secrets(request: Request, body: SecretsRequest) -> SecretTexts:
        """Ask for the secrets that injected files of the image name."""
        values = await cas.work(cas.attestation.secrets, peer_of(request.scope), body.placeholders)
        return SecretTexts(values={name: b64encode(value).decode("ascii") for name, value in values.items()})

    @app.post("/v1/enclave/token", responses=problems(400, 403, 409))
    async def post_token(request: Request, body: TokenWish) -> Token:
        """Ask for the word of the CAS on this service, for a party that trusts the CAS."""
        token, seconds = await cas.work(cas.tokens.issue, peer_of(request.scope), _token_request(body))
        return Token(token=token, expires_in=seconds)

    @app.post("/v1/enclave/volumes/{volume}/commit", responses=problems(400, 403, 409))
    async def post_commit(request: Request, volume: _Volume, body: CommitRequest) -> Tag:
        """Move a volume from one state to the next; durable before the answer."""
        await cas.work(cas.commits.volume, peer_of(request.scope), volume, *_step(body))
        return Tag(tag=body.tag)

    @app.post("/v1/enclave/fspf/commit", responses=problems(400, 403, 409))
    async def post_fspf_commit(request: Request, body: CommitRequest) -> Tag:
        """Move the main protection file from one state to the next; durable before the answer."""
        await cas.work(cas.commits.fspf, peer_of(request.scope), *_step(body))
        return Tag(tag=body.tag)

    @app.post("/v1/enclave/commits", responses=problems(400, 403, 409))
    async def post_commits(request: Request, body: CommitsRequest) -> Tags:
        """Move volumes from one state to the next, all of them or none; durable before the answer."""
        return Tags(tags=await _commit_all(cas, peer_of(request.scope), body))

    @app.post("/v1/exports", responses=problems(400, 403))
    async def post_export(request: Request, body: ExportRequest) -> ExportedSecret:
        """Give a secret to a session on the CAS that asks, if it is exported to that."""
        answer = await cas.work(cas.exports.give, peer_of(request.scope), body.model_dump())
        return ExportedSecret.model_validate(answer)


def _add_hot(cas: Cas, hot: HotRoutes) -> None:
    async def nonce(peer: Peer, _path: str, _body: bytes) -> bytes:
        return pretty({"nonce": cas.attestation.nonce(peer).hex()})

    async def attest(peer: Peer, _path: str, body: bytes) -> Answer | None:
        wish = parsed(AttestRequest, body)
        if wish is None:
            return None
        released = await _attest(cas, peer, wish)
        return Answer(released.configuration.to_json(), _headers(released))

    async def commit(peer: Peer, volume: str, body: bytes) -> bytes | None:
        step = parsed(CommitRequest, body)
        if step is None:
            return None
        await cas.work(cas.commits.volume, peer, volume, *_step(step))
        return pretty({"tag": step.tag})

    async def fspf_commit(peer: Peer, _path: str, body: bytes) -> bytes | None:
        step = parsed(CommitRequest, body)
        if step is None:
            return None
        await cas.work(cas.commits.fspf, peer, *_step(step))
        return pretty({"tag": step.tag})

    async def commits(peer: Peer, _path: str, body: bytes) -> bytes | None:
        steps = parsed(CommitsRequest, body)
        return None if steps is None else pretty({"tags": await _commit_all(cas, peer, steps)})

    hot.add("POST", "/v1/enclave/nonce", nonce)
    hot.add("POST", "/v1/enclave/commits", commits)
    hot.add("POST", "/v1/enclave/attest", attest)
    hot.add("POST", "/v1/enclave/fspf/commit", fspf_commit)
    hot.add("POST", "/v1/enclave/volumes/", commit, after="/commit")


async def _attest(cas: Cas, peer: Peer, wish: AttestRequest) -> Released:
    start = Start(
        session=wish.session,
        service=wish.service,
        evidence=_envelope(wish.evidence),
        shown=Shown(
            access_proof=None if wish.access_proof is None else bytes.fromhex(wish.access_proof),
            one_time_password=wish.one_time_password,
            resumption=None if wish.resumption is None else bytes.fromhex(wish.resumption),
        ),
    )
    peer.ended = functools.partial(_exited, cas, peer)
    return await cas.work(cas.attestation.attest, peer, start)


def _headers(released: Released) -> dict[str, str]:
    """Give what an enclave gets besides its configuration."""
    shown = {_ACCESS_PROOF: released.shown.access_proof, _RESUMPTION: released.shown.resumption}
    return {name: value.hex() for name, value in shown.items() if value is not None}


def _token_request(wish: TokenWish) -> TokenRequest:
    try:
        key, proof = (None if text is None else b64decode(text, validate=True) for text in (wish.key, wish.proof))
    except ValueError as error:
        raise InputError("key and proof are base64") from error
    return TokenRequest(audience=wish.audience, lifetime=wish.lifetime, nonce=wish.nonce, key=key, proof=proof or b"")


def _exited(cas: Cas, peer: Peer) -> None:
    """Tell the audit log that a service that was attested has gone; one that lost its connection attests anew."""
    attested = peer.state.get(ATTESTED)
    if isinstance(attested, Attested):
        facts = {"session": attested.session, "service": attested.service, "enclave": str(peer.key_hash)}
        cas.audit.gather("service_exited", facts)


async def _commit_all(cas: Cas, peer: Peer, body: CommitsRequest) -> dict[str, str]:
    steps = []
    for step in body.commits:
        expected, tag = _step(step)
        steps.append(Step(volume=step.volume, expected=expected, tag=tag))
    await cas.work(cas.commits.volumes, peer, steps)
    return {step.volume: step.tag for step in body.commits}


def _step(body: CommitRequest) -> tuple[FspfTag | None, FspfTag]:
    return None if body.expected is None else FspfTag.from_hex(body.expected), FspfTag.from_hex(body.tag)


def _envelope(evidence: dict[str, Any]) -> bytes:
    """Give an envelope the one form that its verifier reads; what it says does not depend on its layout here."""
    try:
        return canonical_json(evidence)
    except RecursionError:
        raise EvidenceError("the evidence is malformed: it is nested too deeply") from None
