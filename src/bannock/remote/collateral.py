"""What the owner of a CAS asks it of collateral: the forecast, a bundle, to take some, and what that would change."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from bannock.errors import PeerError
from bannock.evidence.endorsements import Endorsements

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from bannock.remote.cas_api import CasApi

__all__ = ["bring_collateral", "get_bundle", "get_forecast", "replay_collateral", "replay_session"]

#: A CAS takes 2 MiB at once.
_PIECE_BYTES: Final = 1 << 20


def get_forecast(cas: CasApi, *, days: int | None) -> dict[str, Any]:
    """Ask which services would stop attesting, when and why.

    Raises:
        BannockError: the CAS is not to be reached, or belongs to somebody else.
    """
    return cas.request_json("GET", "/v1/owner/forecast" + ("" if days is None else f"?days={days}"))


def get_bundle(cas: CasApi, *, refresh: bool) -> bytes:
    """Ask for all collateral that evidence needs, signed by the CAS.

    Raises:
        BannockError: as :func:`get_forecast`.
    """
    return cas.request("GET", f"/v1/owner/collateral?refresh={'true' if refresh else 'false'}").body


def bring_collateral(cas: CasApi, brought: Endorsements) -> tuple[list[str], list[str]]:
    """Give collateral to a CAS, and get the names of what it keeps, and why the rest does not count.

    Raises:
        BannockError: as :func:`get_forecast`.
    """
    kept: list[str] = []
    refused: list[str] = []
    for piece in _pieces(brought):
        answer = _answered(cas, "PUT", "/v1/owner/collateral", piece)
        kept += map(str, answer.get("kept", []))
        refused += map(str, answer.get("refused", []))
    return kept, refused


def replay_collateral(cas: CasApi, brought: Endorsements, *, at: datetime | None) -> dict[str, Any]:
    """Ask what collateral would change.

    Raises:
        BannockError: as :func:`get_forecast`.
    """
    query = "" if at is None else f"?at={at.strftime('%Y-%m-%dT%H:%M:%SZ')}"
    return _answered(cas, "POST", f"/v1/owner/collateral/replay{query}", brought.to_json())


def replay_session(cas: CasApi, document: str) -> dict[str, Any]:
    """Ask what another version of a session would change.

    Raises:
        BannockError: as :func:`get_forecast`.
    """
    return _answered(cas, "POST", "/v1/owner/forecast/replay", document.encode("utf-8"))


def _pieces(brought: Endorsements) -> Iterator[bytes]:
    """Cut into what a CAS takes at once; certificates stay together, because they vouch for one another."""
    if brought.certificates or brought.crls:
        yield Endorsements(certificates=brought.certificates, crls=brought.crls).to_json()
    piece: list[str] = []
    for each in brought.dcap:
        if piece and sum(map(len, piece)) + len(each) > _PIECE_BYTES:
            yield Endorsements(dcap=tuple(piece)).to_json()
            piece = []
        piece.append(each)
    if piece:
        yield Endorsements(dcap=tuple(piece)).to_json()


def _answered(cas: CasApi, method: str, path: str, body: bytes) -> dict[str, Any]:
    """Send endorsements byte for byte: they have one form."""
    answer = cas.request(method, path, body).body
    try:
        document = json.loads(answer)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise PeerError("the CAS answers with something other than a JSON object")
    return document
