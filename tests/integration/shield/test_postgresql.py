"""PostgreSQL on an encrypted volume: what its clients were told is committed survives the death of anybody."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING

import pytest

from tests.integration.shield.postgresql import Server, programs

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.integration.shield.hosting import Host

pytestmark = [
    pytest.mark.fuse,
    pytest.mark.root,
    pytest.mark.slow,
    pytest.mark.skipif(programs() is None, reason="needs PostgreSQL"),
]

_CLIENTS = 4
_ROUNDS = 6


@pytest.fixture
def server(host: Host, public_path: Path) -> Iterator[Server]:
    """Give a server with the tables of pgbench at scale 10, a million accounts."""
    server = Server(host.path / "data", public_path)
    try:
        server.create()
        server.start()
        server.run("pgbench", "-q", "-i", "-s", "10")
        yield server
    finally:
        server.kill()


def test_acknowledged_transactions_survive_kills(host: Host, server: Server) -> None:
    """The server, the shield or both are killed in the midst of work, also while they recover: nothing is lost."""
    generator = random.Random(20_240)  # noqa: S311 # repeatable moments
    there = 0
    victims = ["server", "shield", "both"] * (_ROUNDS // 3)
    for number, victim in enumerate(victims):
        prefix = server.base / f"round {number}"
        bench = server.bench(_CLIENTS, 60, prefix)
        time.sleep(generator.uniform(0.5, 2.5))
        assert bench.poll() is None
        _kill(victim, host, server, generator)
        bench.wait()
        if generator.random() < 0.5:
            server.begin()
            time.sleep(generator.uniform(0.05, 0.5))
            _kill(victim, host, server, generator)
        server.start()
        acknowledged = sum(len(log.read_text().splitlines()) for log in server.base.glob(f"{prefix.name}.*"))
        assert acknowledged > 0
        found = int(server.query("SELECT count(*) FROM pgbench_history"))
        # A client may have been cut off before it learned of its last commit.
        assert there + acknowledged <= found <= there + acknowledged + _CLIENTS, victim
        there = found
    _check(server)
    # And all of it comes back from the disk alone.
    server.stop()
    host.remount()
    server.run("pg_checksums", "--check", "-D", host.path / "data")
    server.start()
    assert int(server.query("SELECT count(*) FROM pgbench_history")) == there
    server.stop()
    assert "error" not in host.log.read_text()


def _kill(victim: str, host: Host, server: Server, generator: random.Random) -> None:
    if victim != "server":
        host.kill()
    if victim == "shield":
        # The server sees errors for a while, and has to take no commit for done.
        time.sleep(generator.uniform(0, 0.5))
    server.kill()
    if victim != "server":
        host.start()


def _check(server: Server) -> None:
    """Every table adds up to the same, and no page, row or index entry is wrong or missing."""
    sums = server.query(
        "SELECT (SELECT sum(abalance) FROM pgbench_accounts), (SELECT sum(bbalance) FROM pgbench_branches),"
        " (SELECT sum(tbalance) FROM pgbench_tellers), (SELECT sum(delta) FROM pgbench_history),"
        " (SELECT count(*) FROM pgbench_accounts)"
    ).split("|")
    assert len(set(sums[:4])) == 1
    assert sums[4] == "1000000"
    server.run("pg_amcheck", "--all", "--install-missing", "--heapallindexed", "--parent-check")
