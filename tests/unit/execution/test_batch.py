"""Batches: who runs what where, and what becomes of failures."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from bannock.errors import ConflictError, DeniedError, EnvironmentFault
from bannock.execution.runs.batch import Batch, Prefixed, merge
from bannock.execution.runs.parties import RunResult
from bannock.execution.runs.split import Piece, pieces_of
from bannock.shield.unpack import Extracted
from bannock.values import FspfTag

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from bannock.execution.progress import Stage

_TAG = FspfTag.from_hex("0" * 32)


def result(host: str, exit_code: int = 0) -> RunResult:
    """What a piece came to."""
    return RunResult(
        run="run", session="run", host=host, expected="", exit_code=exit_code, timed_out=False, log="", platform="sim",
        mount="fuse", input_tag=_TAG, output_before=_TAG, output_after=_TAG, extracted=Extracted(files=0, bytes=0),
    )  # fmt: skip


class Told:
    """Progress that is kept."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    @contextmanager
    def stage(self, title: str, total: int | None = None) -> Iterator[Stage]:
        """Keep the title."""
        del total
        self.notes.append(title)
        yield _Nothing()

    def note(self, text: str) -> None:
        """Keep it."""
        self.notes.append(text)


class _Nothing:
    def advance(self, amount: int, /) -> None:
        pass

    def expect(self, total: int, /) -> None:
        pass


def batch(count: int, hosts: str, run: Callable[[Piece, str], RunResult], per_host: int = 1) -> tuple[Batch, Told]:
    """A batch of so many pieces."""
    told = Told()
    return Batch(pieces_of(f"N=1..{count}"), hosts.split(), per_host, run, told), told


def test_all_pieces_are_done_and_no_host_has_two() -> None:
    """Every host works, on one piece at a time."""
    busy: dict[str, int] = {"a": 0, "b": 0, "c": 0}
    together, lock = threading.Barrier(3, timeout=10), threading.Lock()

    def run(_: Piece, host: str) -> RunResult:
        with lock:
            busy[host] += 1
            assert busy[host] == 1
        together.wait()
        with lock:
            busy[host] -= 1
        return result(host)

    ends = batch(9, "a b c", run)[0].run()
    assert {end.host for end in ends} == {"a", "b", "c"}
    assert all(end.result is not None for end in ends)


def test_a_host_may_have_more_at_once() -> None:
    """As many as are asked for."""
    together = threading.Barrier(4, timeout=10)

    def run(_: Piece, host: str) -> RunResult:
        together.wait()
        return result(host)

    assert all(end.result for end in batch(8, "a b", run, per_host=2)[0].run())


def test_a_piece_that_fails_is_tried_elsewhere() -> None:
    """A host that does not do it is not asked for that piece again, and after two failures for nothing."""
    asked: list[tuple[str, str]] = []

    def run(piece: Piece, host: str) -> RunResult:
        asked.append((piece.title, host))
        if host == "bad":
            raise EnvironmentFault("the disk is full")
        return result(host)

    made, told = batch(6, "bad good", run)
    ends = made.run()
    assert all(end.result is not None and end.host == "good" for end in ends)
    assert sum(host == "bad" for _, host in asked) <= 2
    assert len(set(asked)) == len(asked)
    assert any("failed on bad: the disk is full; it is tried again" in note for note in told.notes)


def test_a_piece_that_fails_everywhere_is_told() -> None:
    """The others are done; of this one, every failure is kept."""

    def run(piece: Piece, host: str) -> RunResult:
        if piece.title == "N-2":
            raise DeniedError(f"not on {host}")
        return result(host)

    ends = batch(3, "a b", run)[0].run()
    assert [end.result is None for end in ends] == [False, True, False]
    assert {str(error) for _, error in ends[1].failures} >= {"not on a", "not on b"}
    assert len(ends[1].failures) <= 3


def test_an_exit_code_counts_as_failure() -> None:
    """A program that fails may do so because of its host."""
    ends = batch(1, "a b", lambda _, host: result(host, exit_code=7 if host == "a" else 0))[0].run()
    assert ends[0].result is not None
    assert ends[0].result.exit_code == 0
    assert ends[0].host == "b"


def test_hosts_that_all_fail_end_the_batch() -> None:
    """Pieces that nobody is left for stay undone, and nobody waits for ever."""

    def run(piece: Piece, host: str) -> RunResult:
        raise EnvironmentFault(f"{host} is away for {piece.title}")

    ends = batch(10, "a b", run)[0].run()
    assert all(end.result is None for end in ends)
    assert sum(len(end.failures) for end in ends) == 4


def test_an_interruption_ends_what_runs() -> None:
    """Runs that look at the batch while they wait are ended, and nothing new is begun."""
    began: list[str] = []
    made: list[Batch] = []

    def run(piece: Piece, _: str) -> RunResult:
        began.append(piece.title)
        if piece.title == "N-1":
            raise KeyboardInterrupt
        while True:
            made[0].check()

    made.append(batch(9, "a b", run)[0])
    with pytest.raises(KeyboardInterrupt):
        made[0].run()
    assert len(began) <= 2


def test_progress_says_whose_it_is() -> None:
    """Each step and note is told with its piece; a step ends when the batch does."""
    told = Told()
    progress = Prefixed(told, "a N-1", lambda: None)
    progress.note("hello")
    with progress.stage("upload") as stage:
        stage.advance(1)
    assert told.notes == ["a N-1: hello", "a N-1: upload"]

    def check() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), Prefixed(told, "b", check).stage("upload") as stage:
        stage.advance(1)


def test_outputs_come_together(tmp_path: Path) -> None:
    """Files, directories and links of pieces are put into one directory."""
    owners: dict[str, str] = {}
    for number in (1, 2):
        piece = tmp_path / f"piece{number}"
        (piece / "below").mkdir(parents=True)
        (piece / "below" / f"frame{number}").write_text(str(number))
        (piece / f"link{number}").symlink_to("below")
        merge(piece, tmp_path / "out", owners, f"N-{number}")
        assert not piece.exists()
    assert sorted(path.name for path in (tmp_path / "out" / "below").iterdir()) == ["frame1", "frame2"]
    assert (tmp_path / "out" / "link2").is_symlink()


def test_two_pieces_that_bring_one_file_are_refused(tmp_path: Path) -> None:
    """What the first brought stays as it is, and both are named."""
    owners: dict[str, str] = {}
    for number in (1, 2):
        (tmp_path / f"piece{number}").mkdir()
        (tmp_path / f"piece{number}" / "0001.png").write_text(str(number))
    merge(tmp_path / "piece1", tmp_path / "out", owners, "N-1")
    with pytest.raises(ConflictError, match=r"N-2 and N-1 both bring 0001\.png"):
        merge(tmp_path / "piece2", tmp_path / "out", owners, "N-2")
    assert (tmp_path / "out" / "0001.png").read_text() == "1"
    assert (tmp_path / "piece2" / "0001.png").exists()
