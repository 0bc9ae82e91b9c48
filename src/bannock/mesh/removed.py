"""Services that a mesh has no more: their policies become void, so that what is left of them starts nowhere. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bannock.mesh.policies import void_policy

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bannock.mesh.ledger import Ledger
    from bannock.mesh.meshed import Terms
    from bannock.mesh.policies import Policy

__all__ = ["removed_policies"]


def removed_policies(ledger: Ledger, policies: Iterable[Policy], terms: Terms, *, by_others: bool) -> list[Policy]:
    """Return what takes the place of policies of services that were in the mesh.

    A CAS forgets no session, for others may refer to it. One that is in force without services attests nobody.

    Args:
        ledger: what was made before.
        policies: that are made now.
        terms: of the mesh.
        by_others: whether somebody else uploads; then it is not known what the CAS has, and all are made again.
    """
    there = {policy.name for policy in policies}
    found = []
    for name in ledger.names():
        above, _, last = name.rpartition("/")
        if above != terms.shared or not last or name in there:
            continue
        void = void_policy(name)
        if by_others or ledger.base(name) != void.digest:
            found.append(void)
    return found
