"""Service access tokens: a secret that a start of a service and the CAS prove to each other to know.

Pure, and light to import: the runtime uses it too. The token itself never travels. What travels is bound to one TLS
connection by its exporter value, so that it is of no use on another one, and to the side that it came from. Whoever
gets hold of a proof can still try guesses on it, so a token is long and random.
"""

from __future__ import annotations

import hashlib
import hmac
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from bannock.errors import DeniedError

if TYPE_CHECKING:
    from bannock.values import Secret

__all__ = ["Side", "prove_access_token", "verify_access_token"]

_CONTEXT: Final = b"bannock service access token 1\0"


class Side(StrEnum):
    """Who proves to know a token."""

    SERVICE = "service"
    CAS = "cas"


def prove_access_token(token: Secret, side: Side, exporter: bytes) -> bytes:
    """Make the proof of one side on one connection: 32 bytes."""
    return hmac.digest(token.reveal(), _CONTEXT + side.encode("ascii") + b"\0" + exporter, hashlib.sha256)


def verify_access_token(token: Secret, side: Side, exporter: bytes, proof: bytes | None) -> None:
    """Accept the proof of the other side.

    Raises:
        DeniedError: there is none, or it does not hold.
    """
    if proof is not None and hmac.compare_digest(prove_access_token(token, side, exporter), proof):
        return
    what = "is wrong" if proof is not None else "is missing"
    if side is Side.SERVICE:
        raise DeniedError(
            f"the service access token {what}",
            hint="start the service with SCONE_SERVICE_ACCESS_TOKEN as its session has it",
        )
    raise DeniedError(
        f"the CAS does not prove to know the service access token: its proof {what}",
        hint="it is another CAS, or the token in the session is another one",
    )
