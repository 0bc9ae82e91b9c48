"""The key set of a CAS, from the CAS itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from bannock.evidence.key_set import KeySet
from bannock.net.address import Address
from bannock.net.client import connect
from bannock.net.problem import from_problem

if TYPE_CHECKING:
    from bannock.values import KeyHash

__all__ = ["fetch_key_set"]

_PORT: Final = 8081
_PATH: Final = "/.well-known/jwks.json"
_STATUS_OK: Final = 200


def fetch_key_set(address: str, cas: KeyHash) -> KeySet:
    """Ask a CAS for the keys that it signs tokens with.

    Args:
        address: of its client interface, ``HOST`` or ``HOST:PORT``.
        cas: its key, from whoever has attested it.

    Raises:
        InputError: the address is malformed.
        EnvironmentFault: the CAS is not to be reached.
        PeerError: another one answers, or something else than a key set.
    """
    with connect(*Address.parse(address, default_port=_PORT), None, expected_peer=cas) as connection:
        answer = connection.request("GET", _PATH)
    if answer.status != _STATUS_OK:
        raise from_problem(answer.status, answer.body)
    return KeySet.from_json(answer.body)
