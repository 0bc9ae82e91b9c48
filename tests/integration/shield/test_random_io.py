"""Random reads, writes, maps and truncations give what a plain file would."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.integration.shield.fsx import Exerciser

if TYPE_CHECKING:
    from tests.integration.shield.hosting import Host

pytestmark = [pytest.mark.fuse, pytest.mark.root]

_ROOT = Path(__file__).parents[3]
_RECORD_BYTES = 100

_APPENDER = """
import os, sys
path, who, count, size = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
for number in range(count):
    record = f"{who} {number} ".encode().ljust(size - 1, b".") + b"\\n"
    assert os.write(descriptor, record) == size
"""


def test_the_exerciser_finds_what_is_wrong(tmp_path: Path) -> None:
    """A file that changes behind its back is noticed, so what it says of a volume counts."""
    exerciser = Exerciser(tmp_path / "file", 1)
    exerciser._put(0, b"never written")
    with pytest.raises(AssertionError, match="file: "):
        exerciser.run(100)


@pytest.mark.parametrize("direct", [False, True], ids=["cached", "direct"])
@pytest.mark.parametrize("seed", [1, 2])
def test_one_file_and_many_ways_to_change_it(host: Host, seed: int, *, direct: bool) -> None:
    """Thousands of operations through several handles are as on a plain file, and so is the file after a remount."""
    exerciser = Exerciser(host.path / "file", seed, direct=direct)
    exerciser.run(2500)
    host.remount()
    assert (host.path / "file").read_bytes() == exerciser.expected
    assert "error" not in host.log.read_text()


def test_processes_do_not_disturb_each_other(host: Host) -> None:
    """Several processes at work on files of their own find in them what they wrote."""
    arguments = [[str(host.path / f"file {seed}"), str(seed), "1000"] for seed in range(4)]
    command = [sys.executable, "-m", "tests.integration.shield.fsx"]
    workers = [subprocess.Popen([*command, *each], cwd=_ROOT) for each in arguments]
    assert [worker.wait() for worker in workers] == [0, 0, 0, 0]
    assert "error" not in host.log.read_text()


def test_records_that_several_processes_append_stay_whole(host: Host) -> None:
    """With O_APPEND each record goes behind the others: none is torn, lost or written over."""
    command = [sys.executable, "-c", _APPENDER, str(host.path / "log")]
    writers = [subprocess.Popen([*command, str(who), "1500", str(_RECORD_BYTES)]) for who in range(3)]
    assert [writer.wait() for writer in writers] == [0, 0, 0]
    host.remount()
    records = (host.path / "log").read_bytes()
    assert len(records) == 3 * 1500 * _RECORD_BYTES
    seen: dict[bytes, list[int]] = {}
    for line in records.splitlines(keepends=True):
        assert len(line) == _RECORD_BYTES
        who, number, _ = line.split(b" ")
        seen.setdefault(who, []).append(int(number))
    assert seen == {who: list(range(1500)) for who in (b"0", b"1", b"2")}
