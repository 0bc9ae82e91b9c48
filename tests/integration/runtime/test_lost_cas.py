"""A CAS that is away, that does not answer, or that is not the one: what a service does then."""

from __future__ import annotations

import contextlib
import datetime as dt
import logging
import socket
import threading
import time
from typing import TYPE_CHECKING

import pytest

from bannock.errors import BannockError, DeniedError, EnvironmentFault, causes
from bannock.net.address import Address
from bannock.policy.one_time_password import one_time_password, shared_secret
from bannock.values import FspfTag, Secret
from tests.integration.runtime.services import FIRST

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.integration.runtime.services import Services

_ONE, _TWO = (FspfTag(letter * 16) for letter in (b"1", b"2"))
_SHARED = "BASE32SECRET3232BASE32SECRET3232"
#: Longer than all tries of before together, so that a bound on them would be seen.
_AWAY_SECONDS = 4.0


class Proxy:
    """Stands before a service; takes the first connections and never answers on them."""

    def __init__(self, target: Address, *, silent: int) -> None:
        self._target = target
        self._silent = silent
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = [self._listener]
        self.address = Address("127.0.0.1", self._listener.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self._open.append(client)
                if self._silent:
                    self._silent -= 1
                    continue
                server = socket.create_connection(self._target)
                self._open.append(server)
                for source, target in ((client, server), (server, client)):
                    threading.Thread(target=_copy, args=(source, target), daemon=True).start()

    def close(self) -> None:
        """End everything."""
        for one in self._open:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()


def _copy(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(1 << 16):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)


@contextlib.contextmanager
def _proxy(target: Address, *, silent: int) -> Iterator[Proxy]:
    proxy = Proxy(target, silent=silent)
    try:
        yield proxy
    finally:
        proxy.close()


def test_changes_wait_for_a_cas_that_is_away(services: Services, caplog: pytest.LogCaptureFixture) -> None:
    """Nothing is lost; the log says that the service waits, and that it is over, and not every try."""
    services.post()
    with services.attested(patience_seconds=60.0) as session:
        session.advance("data", FIRST, _ONE)
        services.stop()
        back = threading.Timer(_AWAY_SECONDS, services.start)
        back.start()
        session.advance("data", _ONE, _TWO)
        back.join()
        assert services.states()[0] == _TWO
    waiting = [record.getMessage() for record in caplog.records if "trying again for" in record.getMessage()]
    over = [record.getMessage() for record in caplog.records if "the CAS answers again" in record.getMessage()]
    assert len(waiting) == len(over) == 1
    assert all(record.levelno == logging.WARNING for record in caplog.records if "answers again" in record.message)


def test_a_singleton_goes_on_and_a_second_one_does_not(services: Services) -> None:
    """The same start is known again, time after time; what else is in its process gets nothing."""
    services.post(measured=True, security="singleton_enclaves: true")
    three = FspfTag(b"3" * 16)
    with services.attested(patience_seconds=30.0) as session:
        session.advance("data", FIRST, _ONE)
        for before, after in ((_ONE, _TWO), (_TWO, three)):
            services.restart()
            with pytest.raises(DeniedError) as caught, services.attested():
                pass
            assert any("this start of it had a configuration before" in line for line in _reasons(caught.value))
            session.advance("data", before, after)
    assert services.states()[0] == three


def _reasons(error: BaseException) -> list[str]:
    return [line for cause in causes(error) if isinstance(cause, BannockError) for line in cause.reasons]


def test_waiting_is_bounded(services: Services) -> None:
    """When the CAS was away for too long the change fails, and so it was not made; a later one starts from there."""
    services.post()
    with services.attested(patience_seconds=0.5) as session:
        services.stop()
        begin = time.monotonic()
        with pytest.raises(EnvironmentFault, match=r"the CAS was away for 0\.5 seconds"):
            session.advance("data", FIRST, _ONE)
        assert 0.5 <= time.monotonic() - begin < 10
        services.start()
        assert services.states()[0] == FIRST
        session.advance("data", FIRST, _TWO)
        assert services.states()[0] == _TWO


def test_a_connection_that_is_never_answered_is_given_up(services: Services) -> None:
    """The next one is answered, so the service starts; one dead process behind an address holds up nobody."""
    services.post()
    with (
        _proxy(services.address, silent=1) as proxy,
        services.attested(cas=proxy.address, connect_seconds=0.5) as session,
    ):
        session.advance("data", FIRST, _ONE)
        assert services.states()[0] == _ONE


def test_a_cas_that_never_answers_ends_a_start(services: Services) -> None:
    """After some tries the start fails, and says why."""
    begin = time.monotonic()
    with (
        _proxy(services.address, silent=100) as proxy,
        pytest.raises(EnvironmentFault, match="no answer in time"),
        services.attested(cas=proxy.address, connect_seconds=0.3),
    ):
        pass
    assert time.monotonic() - begin < 10


def test_a_service_is_resumed_without_a_new_one_time_password(services: Services) -> None:
    """Its password was spent at its start; a lost connection needs none."""
    services.post(attestation=f"one_time_password_shared_secret: {_SHARED}")
    password = one_time_password(shared_secret(Secret(_SHARED.encode())), dt.datetime.now(dt.UTC))
    with services.attested(one_time_password=password) as session:
        services.restart()
        session.advance("data", FIRST, _ONE)
        services.restart()
        session.advance("data", _ONE, _TWO)
        assert services.states()[0] == _TWO
    with pytest.raises(DeniedError), services.attested(one_time_password=password):
        pass


def test_an_access_token_is_proven_at_each_connection(services: Services) -> None:
    """At the first one, and at those that are made after it was lost."""
    services.post(security="service_access_token: j765WyMWTKksiqWbBuuc")
    with services.attested(access_token=Secret(b"j765WyMWTKksiqWbBuuc")) as session:
        services.restart()
        session.advance("data", FIRST, _ONE)
        assert services.states()[0] == _ONE


@pytest.mark.parametrize("security", ["", "service_access_token: another"])
def test_a_cas_that_does_not_know_the_access_token_is_refused(services: Services, security: str) -> None:
    """The service takes nothing from it: it is not the CAS that whoever started the service meant."""
    services.post(security=security)
    with (
        pytest.raises(DeniedError, match=r"does not prove to know|does not get the configuration"),
        services.attested(access_token=Secret(b"j765WyMWTKksiqWbBuuc")),
    ):
        pass
