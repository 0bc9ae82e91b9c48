"""A CAS that is away for a while: who waited for it leaves nothing behind."""

from __future__ import annotations

import gc
import threading
import weakref
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from bannock.errors import EnvironmentFault
from bannock.net.address import Address
from bannock.runtime import attest, handshake
from bannock.runtime.attest import AttestedSession

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture
def uncollected() -> Iterator[None]:
    """Have no collector come by, as in a process where little happens."""
    gc.disable()
    yield
    gc.enable()


class _Held:
    """What a commit holds while it waits: files that are removed when it is done, for example."""


def _waits(call: Callable[[], object]) -> bool:
    """Make a call that holds something, and say whether it still does."""

    def commit() -> weakref.ref[_Held]:
        held = _Held()
        call()
        return weakref.ref(held)

    return commit()() is not None


@pytest.mark.usefixtures("uncollected")
def test_a_commit_that_waited_keeps_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two failures are told, the third try succeeds, and the frames that waited are gone."""
    tries: list[int] = []
    session = AttestedSession.__new__(AttestedSession)
    given: Any = SimpleNamespace(connection=SimpleNamespace(close=lambda: None), resumption=None)
    wanted: Any = SimpleNamespace(patience_seconds=60)
    nothing: Any = None
    session._lock, session._wanted, session._given = threading.Lock(), wanted, given
    session._attester = session._manifest = session._observer = nothing
    monkeypatch.setattr(attest, "attest", lambda *_: given)
    monkeypatch.setattr(attest, "_PAUSE_SECONDS", 0)
    # pytest keeps what is logged, and a record has what it is about.
    monkeypatch.setattr(attest._log, "disabled", True)

    def advance() -> None:
        tries.append(1)
        if len(tries) < 3:
            raise EnvironmentFault("the connection was lost")

    assert not _waits(lambda: session._patiently(advance))
    assert len(tries) == 3


@pytest.mark.usefixtures("uncollected")
def test_a_search_for_the_cas_keeps_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody answers at any address, and the frames that tried are gone."""
    wanted: Any = SimpleNamespace(cas=Address("127.0.0.1", 1))
    nothing: Any = None

    def refuse(*_: object) -> None:
        raise EnvironmentFault("cannot connect")

    monkeypatch.setattr(handshake, "_open_one", refuse)
    monkeypatch.setattr(handshake, "_PAUSE_SECONDS", 0)
    monkeypatch.setattr(handshake._log, "disabled", True)

    def search() -> None:
        with pytest.raises(EnvironmentFault, match="cannot connect"):
            handshake._open(wanted, nothing)

    assert not _waits(search)
