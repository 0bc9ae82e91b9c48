"""Commits: how many copies of a reinitializable protection file are kept apart."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from bannock.cas import commits
from bannock.cas.commits import ATTESTED, Attested, Held
from bannock.cas.records import FspfState
from bannock.errors import ConflictError
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
