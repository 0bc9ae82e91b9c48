"""All sessions of a CAS, on each database."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from bannock.cas import Cas
from bannock.cas.console.directory import Directory
from bannock.cas.schema import sessions
from bannock.errors import IntegrityError
from bannock.values import KeyHash
from tests.unit.cas.documents import document

if TYPE_CHECKING:
    from bannock.cas import CasConfig

_ALICE, _BOB = KeyHash(b"a" * 32), KeyHash(b"b" * 32)


def test_the_newest_version_of_each(config: CasConfig) -> None:
    """Whoever may read it finds it, and an update is found at once; some at a time, where there are many."""
    with Cas(config) as cas:
        digest = cas.sessions.post(document(name="one"), _ALICE)
        cas.sessions.post(document(name="two"), _BOB)
        directory = Directory(cas)
        assert [each.outline.name for each in directory.listing(_ALICE).sessions] == ["one"]
        newer = cas.sessions.post(document(name="one", predecessor=digest, variable="two"), _ALICE)
        (found,) = directory.listing(_ALICE).sessions
        assert (found.outline.digest, found.outline.generation) == (newer, 2)
        assert directory.listing(None).sessions == ()
        slow = Directory(cas, seconds=-1.0)
        assert [slow.listing(_BOB).unread for _ in range(3)] == [1, 0, 0]
        assert [each.outline.name for each in slow.listing(_BOB).sessions] == ["two"]
        assert slow.listing(_BOB).total == 2


def test_a_row_in_the_place_of_another_one(config: CasConfig) -> None:
    """It does not open."""
    with Cas(config) as cas:
        for name in ("one", "two"):
            cas.sessions.post(document(name=name), _ALICE)
        with cas.store.changing() as change:
            (first, second) = (row for row, _ in change.session_rows().newest())
            sealed = (
                change._connection.execute(sessions.select().where(sessions.c.session == first))
                .mappings()
                .one()["sealed"]
            )
            change._connection.execute(sessions.update().where(sessions.c.session == second).values(sealed=sealed))
        with cas.store.reading() as view, pytest.raises(IntegrityError):
            view.session_rows().stored(second, 1)
