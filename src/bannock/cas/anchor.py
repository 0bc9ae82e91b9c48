"""The counter of a TPM as the last word on which database is the newest: nobody can turn it back.

It moves on with each start of a CAS, and the database knows where to. It cannot move on with each change, as a TPM is
too slow for that and wears out; between two starts the counter file is what notices an older copy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import select

from bannock.cas.freshness import Accepted
from bannock.cas.schema import counters
from bannock.cas.upsert import upsert
from bannock.errors import RollbackError

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from bannock.cas.sealing import Sealer
    from bannock.cas.tpm import Tpm

__all__ = ["advance"]

_NUMBER_BYTES: Final = 8


def advance(tpm: Tpm, connection: Connection, sealer: Sealer, *, accept: bool) -> Accepted | None:
    """Compare the database with the counter, and write down what that will stand at.

    Once the transaction has been committed, and not before, the caller lets the counter move on; from before this
    until then, no other process may do the same.

    Args:
        tpm: has the counter.
        connection: on which the transaction is.
        sealer: seals the number in the database.
        accept: whether an older database is taken too.

    Returns:
        What was accepted, if something had to be.

    Raises:
        RollbackError: the database is older than the counter says, or the counter is gone.
        EnvironmentFault: the TPM cannot be used.
    """
    name = f"tpm:{tpm.counter.lower()}"
    sealed = connection.execute(select(counters.c.sealed).where(counters.c.name == name)).scalar()
    written = None if sealed is None else int.from_bytes(sealer.open(counters.name, name.encode(), sealed), "big")
    stands = tpm.count()
    # One that stopped between the commit and the counter has written what the counter never came to.
    is_right = written is None or (stands is not None and written in {stands, stands + 1})
    if not is_right and not accept:
        raise RollbackError(
            f"the database is of another time than the TPM: it expects the counter {tpm.counter} at {written}, "
            f"found {'none' if stands is None else stands}",
            hint=_HINT,
        )
    known = stands
    if stands is None:
        stands = tpm.define()
    value = sealer.seal(counters.name, name.encode(), (stands + 1).to_bytes(_NUMBER_BYTES, "big"))
    upsert(connection, counters, {"name": name}, {"sealed": value})
    return None if is_right else Accepted(found=written or 0, known=known)


_HINT: Final = (
    "an older copy of the database has been put in its place, or another machine has this TPM. "
    "To go on with the database that is there, start once with --accept-rollback"
)
