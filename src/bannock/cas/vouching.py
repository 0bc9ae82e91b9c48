"""A replica that joins others: one of them says how new the database is, before the first start of a new one.

A new replica has no counter yet that would tell an older copy of the database from the newest. Whoever answers by the
key of the CAS, and tells its number of changes to nobody but that key, has opened the database and has such a counter.
"""

from __future__ import annotations

import json
import logging
import time
from typing import TYPE_CHECKING, Final

from bannock.errors import EnvironmentFault, PeerError, RollbackError
from bannock.net.client import connect

if TYPE_CHECKING:
    from collections.abc import Callable

    from bannock.net.address import Address
    from bannock.net.tls import Identity

__all__ = ["PATH", "vouched"]

#: Where a replica says how many changes it has seen.
PATH: Final = "/v1/replica"
#: Replicas that are started together wait for the first of them.
_WAIT_SECONDS: Final = 60.0
_PAUSE_SECONDS: Final = 1.0
_TIMEOUT_SECONDS: Final = 10.0
_STATUS_OK: Final = 200

_log: Final = logging.getLogger(__name__)


def vouched(
    address: Address,
    identity: Identity,
    *,
    now: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> int:
    """Ask another replica how many changes the database has, and wait until one is there.

    Args:
        address: of the replicas.
        identity: of the CAS, which all of them have.
        now: tells seconds.
        sleep: waits for seconds.

    Raises:
        RollbackError: nobody answers, or somebody else does.
    """
    end = now() + _WAIT_SECONDS
    while True:
        try:
            return _asked(address, identity)
        except PeerError as error:
            raise _unknown(address) from error
        except EnvironmentFault as error:
            if now() >= end:
                raise _unknown(address) from error
            _log.info("waiting for another replica at %s: %s", address, error)
            sleep(_PAUSE_SECONDS)


def _asked(address: Address, identity: Identity) -> int:
    with connect(
        address.host,
        address.port,
        identity,
        expected_peer=identity.key_hash,
        timeout=_TIMEOUT_SECONDS,
        peer_name="the replica",
    ) as connection:
        answer = connection.request("GET", PATH)
    if answer.status != _STATUS_OK:
        raise EnvironmentFault(f"the replica at {address} answers with status {answer.status}")
    try:
        changes = json.loads(answer.body)["changes"]
    except (ValueError, TypeError, KeyError, RecursionError):
        changes = None
    if not isinstance(changes, int) or isinstance(changes, bool) or changes < 0:
        raise PeerError(f"the replica at {address} does not say how many changes it has seen")
    return changes


def _unknown(address: Address) -> RollbackError:
    return RollbackError(
        f"this replica is new, and no other one at {address} says whether the database is the newest",
        hint="see that another replica runs there. Where none is left, start one of them once with --accept-rollback",
    )
