"""Policies of a mesh on their way to a CAS, and what it has of the mesh already."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from bannock.errors import ConflictError, NotFoundError
from bannock.mesh.policies import PolicyKind
from bannock.policy.editing import differences, with_entry
from bannock.policy.parse import parse_session
from bannock.policy.session import AttestationVariant

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from bannock.mesh.policies import Policy
    from bannock.remote.cas_api import StoredText

__all__ = ["SessionStore", "following", "rolled", "stored_measurements", "stored_text", "upload"]

_PREDECESSOR: Final = "predecessor"


class SessionStore(Protocol):
    """What keeps sessions: a CAS."""

    def read_session(self, name: str) -> StoredText:
        """Give the version in force."""

    def post_session(self, document: str, *, digest: str | None, name: str | None) -> str:
        """Create or update a session, and give its hash."""


def stored_text(store: SessionStore, name: str) -> StoredText | None:
    """Read a session; None where there is none.

    Raises:
        BannockError: the CAS is not to be reached, or does not let us read it.
    """
    try:
        return store.read_session(name)
    except NotFoundError:
        return None


def stored_measurements(text: str) -> tuple[str, ...]:
    """Return the measurements that a policy of a service accepts, that of the newest version first."""
    session = parse_session(text, variables=None)
    return tuple(
        str(measurement)
        for service in session.services
        for variant in service.attestation
        if isinstance(variant, AttestationVariant)
        for measurement in variant.measurements
    )


def rolled(new: str, accepted: tuple[str, ...]) -> tuple[str, ...]:
    """Return what a policy accepts while containers of two versions run.

    Args:
        new: measurement of the version that the mesh has now.
        accepted: what the policy in force accepts, the newest version first.
    """
    if not accepted or accepted[0] == new:
        # The same version once more: an update that goes on goes on.
        return accepted or (new,)
    return new, accepted[0]


def following(text: str, predecessor: str) -> str:
    """Return a policy as the next version of one that has a hash."""
    return with_entry(text, _PREDECESSOR, predecessor)


def upload(store: SessionStore, policies: Iterable[Policy], told: Callable[[str], object]) -> dict[str, str]:
    """Upload policies, and return session → hash; what a CAS has already is not uploaded again.

    A namespace that is there already stays as it is, whosever it is.

    Args:
        store: the CAS.
        policies: in their order.
        told: gets a line for each.

    Raises:
        BannockError: the CAS is not to be reached, or refuses one; those before it are uploaded.
    """
    digests = {}
    for policy in policies:
        if policy.kind is PolicyKind.VOID and stored_text(store, policy.name) is None:
            # It was made, and never uploaded.
            continue
        try:
            digests[policy.name] = store.post_session(policy.text, digest=policy.digest, name=policy.name)
            told(f"created {policy.name}")
            continue
        except ConflictError:
            if policy.kind is PolicyKind.NAMESPACE:
                continue
        stored = store.read_session(policy.name)
        if not differences(policy.text, stored.text, ignored=frozenset({_PREDECESSOR})):
            digests[policy.name] = stored.digest
            told(f"unchanged {policy.name}")
            continue
        text = following(policy.text, stored.digest)
        digest = parse_session(text, variables=None).digest
        digests[policy.name] = store.post_session(text, digest=digest, name=policy.name)
        told(f"{'made void' if policy.kind is PolicyKind.VOID else 'updated'} {policy.name}")
    return digests
