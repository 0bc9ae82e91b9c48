"""A batch: one application, work in pieces, several hosts. Pieces that fail on one host are tried on another one.

A host has at most so many runs at once as it was asked for, and is left alone after it failed twice in a row. Outputs
of pieces come together in one directory; two pieces that bring the same file are an error, and nothing is replaced.
"""

from __future__ import annotations

import os
import shutil
import threading
from collections import deque
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol

from bannock.errors import BannockError, ConflictError, EnvironmentFault, InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from bannock.execution.progress import Progress, Stage
    from bannock.execution.runs.parties import RunResult
    from bannock.execution.runs.split import Piece

__all__ = ["Batch", "PieceEnd", "Prefixed", "Runner", "merge"]

_TRIES: Final = 3
#: After so many failures in a row a host gets no further piece.
_FAILURES_MAX: Final = 2


class Runner(Protocol):
    """Runs one piece on one host."""

    def __call__(self, piece: Piece, host: str, /) -> RunResult:
        """Run it, and bring its outputs.

        Raises:
            BannockError: it failed.
        """
        ...


@dataclass(slots=True, kw_only=True)
class PieceEnd:
    """What became of a piece.

    Attributes:
        piece: which.
        result: what it came to; None if it failed.
        host: where it ended.
        failures: host and what was told, each time that it failed.
    """

    piece: Piece
    result: RunResult | None = None
    host: str = ""
    failures: list[tuple[str, BannockError]] = field(default_factory=list)

    @property
    def tried(self) -> set[str]:
        """Where it failed."""
        return {host for host, _ in self.failures}


class Batch:
    """A batch.

    Args:
        pieces: of the work.
        hosts: where it may be done.
        per_host: so many pieces at once on each.
        run: runs one of them; called on several threads.
        progress: is told how far it is.
    """

    def __init__(
        self, pieces: Sequence[Piece], hosts: Sequence[str], per_host: int, run: Runner, progress: Progress
    ) -> None:
        self._ends = [PieceEnd(piece=piece) for piece in pieces]
        self._hosts = tuple(hosts)
        self._per_host = per_host
        self._run = run
        self._progress = progress
        self._changed = threading.Condition()
        self._waiting = deque(self._ends)
        self._busy = 0
        self._failed_in_a_row = dict.fromkeys(hosts, 0)
        self._interrupted = False
        self._bug: BaseException | None = None

    def run(self) -> list[PieceEnd]:
        """Run all pieces; return what became of each, in their order.

        Raises:
            KeyboardInterrupt: nothing new was begun after it; what ran has come to its end.
        """
        # Each host has them, also where there are fewer pieces: what fails on one is for another.
        hosts = list(self._hosts) * min(len(self._ends), self._per_host)
        threads = [threading.Thread(target=self._work, args=(host,), name=f"bannock-{host}") for host in hosts]
        for thread in threads:
            thread.start()
        try:
            for thread in threads:
                while thread.is_alive():
                    thread.join(0.2)
        except KeyboardInterrupt:
            with self._changed:
                self._interrupted = True
                self._changed.notify_all()
            raise
        finally:
            for thread in threads:
                thread.join()
        if self._bug is not None:
            raise self._bug
        return self._ends

    def check(self) -> None:
        """End the run of a piece if the batch is to end; runners call this while they wait.

        Raises:
            KeyboardInterrupt: it is.
        """
        if self._interrupted:
            raise KeyboardInterrupt

    def _work(self, host: str) -> None:
        while (end := self._next(host)) is not None:
            failure: BannockError | None = None
            try:
                end.result = self._run(end.piece, host)
                end.host = host
                if end.result.exit_code:
                    failure = EnvironmentFault(f"the program ended with {end.result.exit_code}")
            except BannockError as error:
                failure = error
            except BaseException as error:  # noqa: BLE001 - it is raised again where the threads were started
                with self._changed:
                    if not self._interrupted:
                        self._bug, self._interrupted = error, True
            self._done(end, host, failure)

    def _next(self, host: str) -> PieceEnd | None:
        """Take a piece that this host may do; None if there will be none any more."""
        with self._changed:
            while not self._interrupted and self._failed_in_a_row[host] < _FAILURES_MAX:
                for end in self._waiting:
                    if host not in end.tried or not self._others(end):
                        self._waiting.remove(end)
                        self._busy += 1
                        return end
                if not self._waiting and not self._busy:
                    return None
                self._changed.wait()
            return None

    def _others(self, end: PieceEnd) -> list[str]:
        """Return the hosts that could do a piece and have not failed with it."""
        return [host for host in self._hosts if host not in end.tried and self._failed_in_a_row[host] < _FAILURES_MAX]

    def _done(self, end: PieceEnd, host: str, failure: BannockError | None) -> None:
        with self._changed:
            self._busy -= 1
            if failure is None:
                self._failed_in_a_row[host] = 0
                done = sum(each.result is not None and each.result.exit_code == 0 for each in self._ends)
                self._progress.note(f"{end.piece.title} is done on {host} ({done} of {len(self._ends)})")
            else:
                end.failures.append((host, failure))
                self._failed_in_a_row[host] += 1
                again = len(end.failures) < _TRIES and not isinstance(failure, InputError | ConflictError)
                self._progress.note(
                    f"{end.piece.title} failed on {host}: {failure}{'; it is tried again' if again else ''}"
                )
                if again:
                    self._waiting.append(end)
            self._changed.notify_all()


def merge(source: Path, target: Path, owners: dict[str, str], owner: str) -> None:
    """Move what a piece brought into the directory of the whole.

    Args:
        source: what it brought; it is removed.
        target: where it goes.
        owners: path in the target → the piece that brought it; is added to.
        owner: the piece.

    Raises:
        ConflictError: another piece brought a file of that name; nothing was moved.
        EnvironmentFault: the disk does not take it.
    """
    found = []
    for directory, _, names in os.walk(source):
        found += [os.path.relpath(os.path.join(directory, name), source) for name in names]  # noqa: PTH118
    for name in sorted(found):
        if owners.get(name, owner) != owner:
            raise ConflictError(
                f"{owner} and {owners[name]} both bring {name}",
                hint=f"have the program name its outputs by its piece; what {owner} brought is in {source}",
            )
    try:
        for directory, directories, names in os.walk(source, topdown=True):
            there = target / os.path.relpath(directory, source)
            there.mkdir(parents=True, exist_ok=True)
            # Links to directories are moved as the links that they are.
            linked = [name for name in directories if os.path.islink(os.path.join(directory, name))]  # noqa: PTH114, PTH118
            for name in (*names, *linked):
                os.replace(os.path.join(directory, name), there / name)  # noqa: PTH105, PTH118
        shutil.rmtree(source)
    except OSError as error:
        raise EnvironmentFault(f"cannot move {source} to {target}: {error.strerror}") from error
    owners.update(dict.fromkeys(found, owner))


class Prefixed:
    """Progress of one run among several: each line says whose it is (:class:`bannock.execution.progress.Progress`).

    Args:
        progress: of all.
        prefix: whose it is.
        check: raises what is to end the run.
    """

    def __init__(self, progress: Progress, prefix: str, check: Callable[[], None]) -> None:
        self._progress = progress
        self._prefix = prefix
        self._check = check

    @contextmanager
    def stage(self, title: str, total: int | None = None) -> Iterator[Stage]:
        """Begin a step, which ends where the run is to end."""
        with self._progress.stage(f"{self._prefix}: {title}", total) as stage:
            yield _Checked(stage, self._check)

    def note(self, text: str) -> None:
        """Tell something."""
        self._progress.note(f"{self._prefix}: {text}")


class _Checked:
    def __init__(self, stage: Stage, check: Callable[[], None]) -> None:
        self._stage = stage
        self._check = check

    def advance(self, amount: int, /) -> None:
        self._check()
        self._stage.advance(amount)

    def expect(self, total: int, /) -> None:
        self._stage.expect(total)
