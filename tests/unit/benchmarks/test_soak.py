"""What a soak judges: memory that grows, entries that are lost or made up, and connections that are cut."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bannock.net.address import Address
from bannock.values import KeyHash
from benchmarks.soak.proxy import Proxy
from benchmarks.soak.samples import Samples
from benchmarks.soak.servers import Cas
from benchmarks.soak.services import Service, Wrong
from benchmarks.soak.tree import Held, descendants, held

if TYPE_CHECKING:
    from collections.abc import Callable

_ROOT = Path(__file__).parents[3]


def _verdicts(rss: Callable[[int], float], handles: Callable[[int], int]) -> list[bool]:
    samples = Samples()
    for second in range(0, 400, 5):
        samples.add(second, "cas", 1, Held(rss=rss(second), handles=handles(second), threads=1, processes=1))
        samples.add(second, "gone", 1, Held(rss=0, handles=0, threads=0, processes=0))
        if second < 100:
            samples.add(second, "short", 1, Held(rss=second, handles=second, threads=1, processes=1))
    return [verdict.is_flat for verdict in samples.verdicts()]


def test_what_is_filled_once_is_flat_and_what_grows_is_not() -> None:
    """The first quarter is not looked at, a life that is short not at all."""
    assert _verdicts(lambda second: min(second, 100) + second % 3, lambda _: 20) == [True]
    assert _verdicts(lambda second: 100 + second / 10, lambda _: 20) == [False]
    assert _verdicts(lambda _: 100, lambda second: 20 + second // 50) == [False]


@pytest.fixture
def service(tmp_path: Path) -> Service:
    """Give a service that nobody started."""
    return Service(
        name="service", home=tmp_path, volume=tmp_path, durable=True, steady=False, measurement="", pause=1,
        cas=Cas(tmp_path, tmp_path), key=KeyHash(bytes(32)), environment={}, generation=1,
    )  # fmt: skip


def _hear(service: Service, *lines: str) -> None:
    with (service.home / "service.out").open("a", encoding="utf-8") as file:
        file.write("".join(f"{line}\n" for line in lines))
    service.look()


@pytest.mark.parametrize("number", [2, 3])
def test_what_was_durable_is_there_and_what_was_tried_may_be(service: Service, number: int) -> None:
    """After a kill, a service begins with the last entry that was done, or with the one that was under way."""
    _hear(service, "ready 1 0", "try 1", "done 1", "try 2", "done 2", "try 3", f"ready 1 {number}")
    assert (service.done, service.commits) == (number, 2)


@pytest.mark.parametrize("words", ["ready 1 1", "ready 1 4", "ready 2 2", "damaged 1", "nonsense"])
def test_what_must_not_be_is_told(service: Service, words: str) -> None:
    """Entries that are lost or made up, another configuration, and damage."""
    _hear(service, "ready 1 0", "try 1", "done 1", "try 2", "done 2", "try 3")
    with pytest.raises(Wrong):
        _hear(service, words)


def test_a_line_that_is_not_whole_is_read_later(service: Service) -> None:
    """A service may be killed, or looked at, in the middle of a word."""
    (service.home / "service.out").write_text("ready 1 0\ntry 1\ndo", encoding="utf-8")
    service.look()
    with (service.home / "service.out").open("a", encoding="utf-8") as file:
        file.write("ne 1\n")
    service.look()
    assert service.done == 1


def _is_over(connection: socket.socket) -> bool:
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:
        return True


def test_connections_are_cut_and_refused() -> None:
    """Bytes go through until then, and again afterwards."""
    with socket.create_server(("127.0.0.1", 0)) as server, Proxy(Address(*server.getsockname()[:2])) as proxy:
        for _ in range(2):
            with socket.create_connection((proxy.address.host, proxy.address.port), 10) as client:
                there, _ = server.accept()
                with there:
                    client.sendall(b"hello")
                    assert there.recv(5) == b"hello"
                    assert proxy.cut() == 1
                    assert _is_over(client)
        proxy.leave(away=True)
        with socket.create_connection((proxy.address.host, proxy.address.port), 10) as client:
            assert _is_over(client)
        proxy.leave(away=False)


def test_processes_are_counted_with_what_they_started() -> None:
    """Whoever has ended has nothing."""
    assert descendants(1, {1: [2, 3], 3: [4], 5: [6]}) == [1, 2, 3, 4]
    assert held([2**22 + 1]) == Held(rss=0, handles=0, threads=0, processes=0)


def test_the_published_report_is_that_of_the_last_soak() -> None:
    """docs/soak.md shows bench/soak/report.md."""
    report = (_ROOT / "bench" / "soak" / "report.md").read_text(encoding="utf-8")
    text = (_ROOT / "docs" / "soak.md").read_text(encoding="utf-8")
    assert f"<!-- soak -->\n\n{report}\n<!-- end of soak -->" in text
