"""What a run asks of a CAS: create its session, and tell the state of a volume."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

from bannock.errors import PeerError
from bannock.net.client import connect
from bannock.net.problem import from_problem
from bannock.values import FspfTag

if TYPE_CHECKING:
    from bannock.net.address import Address
    from bannock.net.tls import Identity
    from bannock.values import KeyHash

__all__ = ["create_session", "volume_tag"]

_STATUS_OK = range(200, 300)


def create_session(address: Address, key: KeyHash, identity: Identity, document: str) -> None:
    """Create a session.

    Args:
        address: of the client interface of the CAS.
        key: that the CAS must have.
        identity: who creates it.
        document: of the session, complete.

    Raises:
        BannockError: the CAS is not to be reached, not the one expected, or does not take the session.
    """
    with connect(address.host, address.port, identity, expected_peer=key) as connection:
        answer = connection.request("POST", "/v1/sessions", document.encode(), "application/yaml")
    if answer.status not in _STATUS_OK:
        raise from_problem(answer.status, answer.body)


def volume_tag(address: Address, key: KeyHash, identity: Identity, session: str, volume: str) -> FspfTag:
    """Return the state that a volume of a session is in, as its services have confirmed it.

    Raises:
        BannockError: as :func:`create_session`.
        PeerError: the CAS does not say which state.
    """
    path = f"/v1/volumes/session={quote(session, safe='/')},volume={quote(volume, safe='')}"
    with connect(address.host, address.port, identity, expected_peer=key) as connection:
        answer = connection.request_json("GET", path)
    tag = answer.get("tag") if isinstance(answer, dict) else None
    if not isinstance(tag, str):
        raise PeerError(f"the CAS at {address} knows no state of volume {volume!r} of session {session!r}")
    return FspfTag.from_hex(tag)
