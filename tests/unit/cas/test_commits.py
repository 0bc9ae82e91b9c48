"""Commits: how many copies of a reinitializable protection file are kept apart."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from bannock.cas import commits
from bannock.cas.commits import ATTESTED, Attested, Held, Step
from bannock.cas.records import FspfState
from bannock.errors import ConflictError, DeniedError
from bannock.net.peer import Peer
from bannock.policy import UpdatePolicy
from bannock.values import FspfTag
from tests.unit.cas.documents import document

if TYPE_CHECKING:
    from bannock.cas import Cas
    from bannock.values import KeyHash

_FIRST = FspfTag(bytes(16))


def _tag(number: int) -> FspfTag:
    return FspfTag(number.to_bytes(16, "big"))


@pytest.fixture
def peer(cas: Cas, alice: KeyHash) -> Peer:
    """A connection of a service with a main protection file."""
    main = f"fspf_path: /main.fspf\n    fspf_key: {'aa' * 32}\n    fspf_tag: {_FIRST}"
    cas.sessions.post(document(fspf=main), alice)
    held = Held(since=1, update_policy=UpdatePolicy.REINITIALIZABLE, first=_FIRST)
    return Peer(state={ATTESTED: Attested(session="demo", service="app", volumes={}, fspf=held)})


def test_the_copy_that_rested_longest_is_dropped(cas: Cas, peer: Peer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their number is bounded; one that is dropped is refused, and can be made again from the first state."""
    monkeypatch.setattr(commits, "COPIES_MAX", 3)
    for number in (1, 2, 3):
        cas.commits.fspf(peer, _FIRST, _tag(number))
    cas.commits.fspf(peer, _tag(1), _tag(11))
    cas.commits.fspf(peer, _FIRST, _tag(4))
    with cas.store.reading() as view:
        assert view.fspf("demo", "app") == FspfState(tag=_tag(4), since=1, others=(_tag(11), _tag(3)))
    with pytest.raises(ConflictError, match=f"expected {_tag(2)}"):
        cas.commits.fspf(peer, _tag(2), _tag(12))
    for number in (3, 11, 4):
        cas.commits.fspf(peer, _tag(number), _tag(number + 100))
    cas.commits.fspf(peer, _FIRST, _tag(5))


def test_a_thousand_copies_are_kept_apart(cas: Cas, peer: Peer) -> None:
    """As many as are promised, and the first of them goes on when the last has begun."""
    newest = [_tag(number) for number in range(1, commits.COPIES_MAX + 1)]
    with cas.store.changing() as change:
        change.put_fspf("demo", "app", FspfState(tag=newest[0], since=1, others=tuple(newest[1:])))
    assert commits.COPIES_MAX == 1000
    cas.commits.fspf(peer, newest[-1], _tag(2000))
    with cas.store.reading() as view:
        assert view.fspf("demo", "app") == FspfState(tag=_tag(2000), since=1, others=tuple(newest[:-1]))


def _many(cas: Cas, alice: KeyHash, volumes: dict[str, Held]) -> Peer:
    cas.sessions.post(document(), alice)
    with cas.store.changing() as change:
        for name in volumes:
            change.put_volume("demo", name, FspfState(tag=None, since=1))
    return Peer(state={ATTESTED: Attested(session="demo", service="app", volumes=volumes, fspf=None)})


_PROTECTED = Held(since=1, update_policy=UpdatePolicy.ROLLBACK_PROTECTED)


def _told(cas: Cas) -> list[str]:
    told: list[str] = []
    for entry in cas.audit_log():
        if entry.event == "volume_fspf_tag_updated":
            lists = [entry.facts[name] or "" for name in ("volume", "from", "to")]
            told += [f"{volume}: {before} → {after}" for volume, before, after in zip(*lists, strict=True)]
    return told


def test_steps_of_many_volumes_are_one_change(cas: Cas, alice: KeyHash) -> None:
    """They share a transaction and an audit entry, which tells of each; a volume may take several of them."""
    peer = _many(cas, alice, {f"v{number}": _PROTECTED for number in range(1200)})
    steps = [Step(volume=f"v{number}", expected=None, tag=_tag(number)) for number in range(1200)]
    steps.append(Step(volume="v7", expected=_tag(7), tag=_tag(7007)))
    before = cas.store.changes
    cas.commits.volumes(peer, steps)
    assert cas.store.changes == before + 1
    with cas.store.reading() as view:
        found = view.volumes("demo", [step.volume for step in steps])
        assert {name: state.tag for name, state in found.items()} == {step.volume: step.tag for step in steps}
        assert view.volume("demo", "v7") == FspfState(tag=_tag(7007), since=1)
    told = _told(cas)
    assert len(told) == 1201
    assert told[-1] == f"v7: {_tag(7)} → {_tag(7007)}"
    cas.commits.volumes(peer, steps)
    assert _told(cas) == told, "a second try changes nothing"


def test_of_steps_all_are_taken_or_none(cas: Cas, alice: KeyHash) -> None:
    """One that starts from another state, or is of a volume that is not the service's, undoes the others."""
    peer = _many(cas, alice, {"one": _PROTECTED, "two": _PROTECTED})
    good = Step(volume="one", expected=None, tag=_tag(1))
    with pytest.raises(ConflictError, match=f"volume two is in state not initialised, expected {_tag(9)}"):
        cas.commits.volumes(peer, [good, Step(volume="two", expected=_tag(9), tag=_tag(2))])
    with pytest.raises(DeniedError, match="mounts no such volume"):
        cas.commits.volumes(peer, [good, Step(volume="three", expected=None, tag=_tag(2))])
    with cas.store.reading() as view:
        assert view.volumes("demo", ["one", "two"]) == dict.fromkeys(["one", "two"], FspfState(tag=None, since=1))
    assert _told(cas) == []


def test_one_volume_under_two_names_has_one_line_of_states(cas: Cas, alice: KeyHash) -> None:
    """Steps by either name follow each other."""
    shared = Held(since=1, update_policy=UpdatePolicy.ROLLBACK_PROTECTED, session="demo", name="output")
    peer = _many(cas, alice, {"a": shared, "b": shared})
    first, second = Step(volume="a", expected=None, tag=_tag(1)), Step(volume="b", expected=_tag(1), tag=_tag(2))
    with pytest.raises(ConflictError):
        cas.commits.volumes(peer, [first, Step(volume="b", expected=None, tag=_tag(2))])
    cas.commits.volumes(peer, [first, second])
    with cas.store.reading() as view:
        assert view.volume("demo", "output") == FspfState(tag=_tag(2), since=1)
