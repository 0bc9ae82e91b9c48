"""Commits: protection files move from one state to the next, each as its update policy allows.

Thread-safe. Who may commit what was decided by the attestation of the connection, and holds until it ends or is
attested again; but a protection file that an update of the session replaces is out of reach at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias, assert_never

from bannock.cas.records import FspfState
from bannock.errors import ConflictError, DeniedError
from bannock.policy.configuration import UpdatePolicy

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from bannock.cas.store import Store
    from bannock.cas.transaction import Change, View
    from bannock.net.peer import Peer
    from bannock.values import FspfTag

__all__ = ["ATTESTED", "Attested", "Commits", "Held", "Step", "attested_of"]

#: Where the state of a peer has what its connection has proven.
ATTESTED: Final = "attested"
#: Instances of a service that may run at the same time, each with its copy of a reinitializable protection file. Those
#: that ended count too, until they are the ones that rested longest.
COPIES_MAX: Final = 1000

#: Session and name of a volume there.
_Place: TypeAlias = tuple[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """A protection file that a connection was given.

    Attributes:
        since: the generation of the session that it is of (:class:`FspfState`).
        update_policy: what may become of it.
        first: the state that the session names, which a reinitializable one may start from again and again.
        session, name: where its state is kept, if that is not the session of the service, or not under its name there.
    """

    since: int
    update_policy: UpdatePolicy
    first: FspfTag | None = None
    session: str | None = None
    name: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Attested:
    """What a connection has proven: which service is on it, and which protection files it was given.

    Attributes:
        digest: hash of the version of the session that the configuration is of.
        injects: whether the image has files that the service may ask secrets for.
        injected_from, injected_digest: the session that these are of, and its version.
        decided: whether the session decided on the enclave; one that disables attestation takes any.
    """

    session: str
    service: str
    volumes: Mapping[str, Held]
    fspf: Held | None
    digest: str = ""
    injects: bool = False
    injected_from: str = ""
    injected_digest: str = ""
    decided: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A step of a volume from one state (None: not initialised) to the next."""

    volume: str
    expected: FspfTag | None
    tag: FspfTag


class Commits:
    """Keeps the states of protection files for enclaves that were attested."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def volume(self, peer: Peer, volume: str, expected: FspfTag | None, tag: FspfTag) -> None:
        """Move a volume from one state to the next, on the disk when this returns; a second try answers the same.

        Raises:
            DeniedError: the connection has not been attested as a service that mounts the volume, or the service may
                not change it.
            ConflictError: the volume is in another state than expected, or was replaced by an update of the session.
        """
        self.volumes(peer, [Step(volume=volume, expected=expected, tag=tag)])

    def volumes(self, peer: Peer, steps: Sequence[Step]) -> None:
        """Take several steps, each as :meth:`volume` does, in their order: all of them or none.

        A volume may take several steps. If it is in the state after the last of them already, there is nothing to do.

        Raises:
            DeniedError: as :meth:`volume`.
            ConflictError: as :meth:`volume`.
        """
        attested = attested_of(peer)
        places = {step.volume: _place(attested, step.volume) for step in steps}
        # By their places: a session may have one volume under two names.
        last = {places[step.volume]: step.tag for step in steps}
        with self._store.changing() as change:
            states = _states(change, last)
            done = {place for place, tag in last.items() if place in states and states[place].tag == tag}
            moved: dict[_Place, FspfState] = {}
            taken: list[tuple[Step, FspfState]] = []
            for step in steps:
                place, held, what = places[step.volume], attested.volumes[step.volume], f"volume {step.volume}"
                state = _same(states.get(place), held, what, place[0])
                if place not in done:
                    moved[place] = states[place] = _moved(held, state, step.expected, step.tag, what)
                    taken.append((step, state))
            if len(taken) == 1:
                step, state = taken[0]
                names = {"volume": step.volume}
                _record(change, "volume_fspf_tag_updated", attested, names, state, step.expected, step.tag)
            elif taken:
                _record_all(change, attested, taken)
            for session in {session for session, _ in moved}:
                change.put_volumes(session, {name: moved[owner, name] for owner, name in moved if owner == session})

    def fspf(self, peer: Peer, expected: FspfTag | None, tag: FspfTag) -> None:
        """Move the main protection file of a service from one state to the next, as :meth:`volume` does.

        Instances that run at the same time have copies of a reinitializable one, and each starts from its first state
        or from the one that was committed last. Every copy has a line of states of its own from there on.

        Raises:
            DeniedError: the connection has not been attested as a service that has one.
            ConflictError: it is in another state than expected, or was replaced by an update of the session.
        """
        attested = attested_of(peer)
        held = attested.fspf
        if held is None:
            raise DeniedError(f"service {attested.service} of session {attested.session} has no main protection file")
        what = f"the main protection file of service {attested.service}"
        with self._store.changing() as change:
            owner, name = held.session or attested.session, held.name or attested.service
            state = _same(change.fspf(owner, name), held, what, owner)
            if tag not in (state.tag, *state.others):
                change.put_fspf(owner, name, _moved(held, state, expected, tag, what))
                _record(change, "service_fspf_tag_updated", attested, {}, state, expected, tag)


def attested_of(peer: Peer) -> Attested:
    """Give what a connection has proven.

    Raises:
        DeniedError: nothing.
    """
    attested = peer.state.get(ATTESTED)
    if not isinstance(attested, Attested):
        raise DeniedError("this connection has not been attested")
    return attested


def _place(attested: Attested, volume: str) -> _Place:
    """Find where the state of a volume is kept that a service has under a name."""
    held = attested.volumes.get(volume)
    if held is None:
        raise DeniedError(f"service {attested.service} of session {attested.session} mounts no such volume")
    return held.session or attested.session, held.name or volume


def _states(view: View, places: Collection[_Place]) -> dict[_Place, FspfState]:
    states: dict[_Place, FspfState] = {}
    for session in {session for session, _ in places}:
        found = view.volumes(session, {name for owner, name in places if owner == session})
        states |= {(session, name): state for name, state in found.items()}
    return states


def _same(state: FspfState | None, held: Held, what: str, session: str) -> FspfState:
    """Accept the state of the protection file that the connection was given, and of no other by its name."""
    if state is None or state.since != held.since:
        raise ConflictError(f"{what} was replaced by an update of session {session}", hint="start the service again")
    return state


def _moved(held: Held, state: FspfState, expected: FspfTag | None, tag: FspfTag, what: str) -> FspfState:
    """Give the state after a commit that starts from an acceptable one."""
    accepted: set[FspfTag | None]
    others: tuple[FspfTag, ...] = ()
    match held.update_policy:
        case UpdatePolicy.NO_ROLLBACK_PROTECTION:
            accepted = {expected}
        case UpdatePolicy.ROLLBACK_PROTECTED:
            accepted = {state.tag}
        case UpdatePolicy.REINITIALIZABLE:
            newest = [each for each in (state.tag, *state.others) if each is not None]
            accepted = {held.first, *newest} - {None}
            others = tuple(each for each in newest if each not in (expected, held.first))[: COPIES_MAX - 1]
        case UpdatePolicy.EPHEMERAL:
            raise DeniedError(f"{what} has the update_policy {held.update_policy} here: its changes are not kept")
        case _:
            assert_never(held.update_policy)
    if expected not in accepted:
        raise ConflictError(f"{what} is in state {_shown(state.tag)}, expected {_shown(expected)}")
    return FspfState(tag=tag, since=state.since, others=others)


def _record(
    change: Change,
    event: str,
    attested: Attested,
    names: Mapping[str, str],
    state: FspfState,
    expected: FspfTag | None,
    tag: FspfTag,
) -> None:
    facts: dict[str, str | list[str] | None] = {
        "session": attested.session,
        "service": attested.service,
        **names,
        "from": None if expected is None else str(expected),
        "to": str(tag),
    }
    if expected != state.tag:
        # Another instance's copy moved on meanwhile, or somebody put an older state back where that is allowed.
        facts["instead-of"] = None if state.tag is None else str(state.tag)
    change.audit(event, facts)


def _record_all(change: Change, attested: Attested, taken: Sequence[tuple[Step, FspfState]]) -> None:
    """Tell of many steps in one event, with a list for each of what one step has a fact for."""
    facts: dict[str, str | list[str] | None] = {
        "session": attested.session,
        "service": attested.service,
        "volume": [step.volume for step, _ in taken],
        "from": [_shown(step.expected) for step, _ in taken],
        "to": [str(step.tag) for step, _ in taken],
    }
    if any(step.expected != state.tag for step, state in taken):
        facts["instead-of"] = [_shown(state.tag) for _, state in taken]
    change.audit("volume_fspf_tag_updated", facts)


def _shown(tag: FspfTag | None) -> str:
    return "not initialised" if tag is None else str(tag)
