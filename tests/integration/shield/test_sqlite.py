"""SQLite on an encrypted volume: readers beside a writer, all of them killed, and no transaction lost or torn."""

from __future__ import annotations

import random
import selectors
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.integration.shield import sqlite_client

if TYPE_CHECKING:
    from tests.integration.shield.hosting import Host

pytestmark = [pytest.mark.fuse, pytest.mark.root, pytest.mark.slow]

_REPOSITORY = Path(__file__).parents[3]
_ROUNDS = 6


def _client(role: str, database: Path, journal: str, seed: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.integration.shield.sqlite_client", role, str(database), journal, str(seed)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=_REPOSITORY,
    )  # fmt: skip


def _wait_for_output(process: subprocess.Popen[str]) -> None:
    """Wait until a process is at work, and leave what it says."""
    with selectors.DefaultSelector() as selector:
        assert process.stdout is not None
        selector.register(process.stdout, selectors.EVENT_READ)
        assert selector.select(60)


@pytest.mark.parametrize("journal", ["wal", "delete", "persist"])
def test_committed_rows_survive_kills(host: Host, journal: str) -> None:
    """After the writer, the shield or both were killed the database is whole, with every row that was committed."""
    generator = random.Random(journal)  # noqa: S311 # repeatable moments
    database = host.path / "database"
    sqlite_client.prepare(str(database), journal)
    host.commit()
    there = 0
    for number, victim in enumerate(["writer", "shield", "both"] * (_ROUNDS // 3)):
        writer = _client("write", database, journal, number)
        _wait_for_output(writer)
        time.sleep(generator.uniform(0.1, 0.7))
        if victim != "writer":
            host.kill()
        if victim != "shield":
            writer.kill()
        output, errors = writer.communicate()
        assert writer.returncode == -9 if victim == "writer" else writer.returncode, errors
        acknowledged = [int(line) for line in output.split()]
        if victim != "writer":
            host.start()
        found = sqlite_client.check(str(database), journal)
        # When SQLite cannot open a directory any more, it takes the removal of a journal in it for durable.
        lost = 1 if journal == "delete" and victim != "writer" else 0
        # One more may have been committed than the writer could tell of.
        assert acknowledged == list(range(there + 1, there + 1 + len(acknowledged)))
        assert there + len(acknowledged) - lost <= found <= there + len(acknowledged) + 1, victim
        there = found
    host.remount()
    assert sqlite_client.check(str(database), journal) == there
    assert "error" not in host.log.read_text()


@pytest.mark.parametrize("journal", ["wal", "delete"])
def test_readers_beside_a_writer_see_whole_transactions(host: Host, journal: str) -> None:
    """Several processes look all the time while another writes: what they see always adds up."""
    database = host.path / "database"
    sqlite_client.prepare(str(database), journal)
    readers = [_client("read", database, journal, 0) for _ in range(2)]
    writer = _client("write gently", database, journal, 1)
    _wait_for_output(writer)
    time.sleep(2)
    writer.kill()
    written = writer.communicate()[0].split()
    looks = [reader.communicate() for reader in readers]
    assert [reader.returncode for reader in readers] == [0, 0], looks
    assert all(int(output) > 0 for output, _ in looks)
    assert len(written) > 1
    assert sqlite_client.check(str(database), journal) in {len(written), len(written) + 1}
