"""How far a run is, for people: bars where there is a terminal, plain lines where there is none."""

from __future__ import annotations

import logging
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import bannock.execution.progress

__all__ = ["amount", "show_errors", "show_progress"]

_STEP = 1024.0


def amount(size: float) -> str:
    """Write a number of bytes."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < _STEP:
            return f"{size:.0f} B" if unit == "B" else f"{size:.1f} {unit}"
        size /= _STEP
    return f"{size:.1f} TiB"


@contextmanager
def show_progress(
    stream: TextIO, clock: Callable[[], float] = time.monotonic, *, quiet: bool = False
) -> Iterator[bannock.execution.progress.Progress]:
    """Show progress on a stream until the context ends; if that is to be quiet, notes alone."""
    if quiet:
        yield _Notices(stream, clock)
        return
    if not stream.isatty():
        yield _Lines(stream, clock)
        return
    columns = (
        SpinnerColumn(finished_text=" "),
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[size]}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(file=stream)) as bars:
        yield _Bars(bars)


@contextmanager
def show_errors(progress: bannock.execution.progress.Progress) -> Iterator[None]:
    """Show what embedded services log as errors as notes, and none of their milder news, until the context ends."""
    logger, handler = logging.getLogger("bannock"), _Notes(progress)
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


class _Notes(logging.Handler):
    def __init__(self, progress: bannock.execution.progress.Progress) -> None:
        super().__init__(logging.ERROR)
        self._progress = progress

    def emit(self, record: logging.LogRecord) -> None:
        self._progress.note(record.getMessage())


class _Lines:
    """A line for each step, when it is done."""

    def __init__(self, stream: TextIO, clock: Callable[[], float]) -> None:
        self._stream = stream
        self._clock = clock

    @contextmanager
    def stage(self, title: str, total: int | None = None) -> Iterator[_LineStage]:
        """Measure a step."""
        del total
        began, stage = self._clock(), _LineStage()
        yield stage
        seconds = self._clock() - began
        size = f" {amount(stage.done)}" if stage.done else ""
        self.note(f"{title}:{size} in {seconds:.1f} s")

    def note(self, text: str) -> None:
        """Write a line."""
        self._stream.write(f"{text}\n")
        self._stream.flush()


class _Notices(_Lines):
    """No line for any step."""

    @contextmanager
    def stage(self, title: str, total: int | None = None) -> Iterator[_LineStage]:
        """Do a step."""
        del title, total
        yield _LineStage()


class _LineStage:
    def __init__(self) -> None:
        self.done = 0

    def advance(self, more: int, /) -> None:
        self.done += more

    def expect(self, total: int, /) -> None:
        """Not shown."""


class _Bars:
    """A bar for each step."""

    def __init__(self, bars: Progress) -> None:
        self._bars = bars

    @contextmanager
    def stage(self, title: str, total: int | None = None) -> Iterator[_Bar]:
        """Show a bar, which is full and has a mark when the step is done or has failed."""
        bar = _Bar(self._bars, title, total)
        try:
            yield bar
        except BaseException:
            bar.finish("✗")
            raise
        bar.finish("✓")

    def note(self, text: str) -> None:
        """Write a line above the bars."""
        self._bars.console.print(text, markup=False, highlight=False)


class _Bar:
    def __init__(self, bars: Progress, title: str, total: int | None) -> None:
        self._bars = bars
        self._task = bars.add_task(title, total=total, size="")
        self._title = title
        self._total = total or 0
        self._done = 0

    def advance(self, more: int, /) -> None:
        self._done += more
        self._show()

    def expect(self, total: int, /) -> None:
        self._total += total
        self._show()

    def finish(self, mark: str) -> None:
        """Show that there is no more to come: what is done is all."""
        size = amount(self._done) if self._done else ""
        self._bars.update(self._task, description=f"{mark} {self._title}", total=1, completed=1, size=size)

    def _show(self) -> None:
        size = f"{amount(self._done)} of {amount(self._total)}" if self._total else amount(self._done)
        self._bars.update(self._task, completed=self._done, total=self._total or None, size=size)
