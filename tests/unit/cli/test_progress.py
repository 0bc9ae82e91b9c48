"""How far a run is, as people see it."""

from __future__ import annotations

import io
import logging

import pytest

from bannock.cli.progress import amount, show_errors, show_progress


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_plain_lines_where_there_is_no_terminal() -> None:
    """Each step is one line, when it is done, without control characters."""
    stream = io.StringIO()
    times = iter([1.0, 3.5, 4.0, 4.0])
    with show_progress(stream, lambda: next(times)) as progress:
        with progress.stage("encrypt", 2048) as stage:
            stage.expect(2048)
            stage.advance(1024)
            stage.advance(1024)
        with progress.stage("run"):
            progress.note("a note")
    assert stream.getvalue() == "encrypt: 2.0 KiB in 2.5 s\na note\nrun: in 0.0 s\n"


def test_quiet_progress_is_notes_alone() -> None:
    """Steps are not told, on a terminal neither; what has to be known is."""
    stream = _Terminal()
    with show_progress(stream, quiet=True) as progress, progress.stage("encrypt", 2048) as stage:
        stage.expect(2048)
        stage.advance(1024)
        progress.note("a note")
    assert stream.getvalue() == "a note\n"


def test_bars_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each step is a bar, also one whose size is not known before."""
    monkeypatch.setenv("TERM", "xterm")
    stream = _Terminal()
    with show_progress(stream) as progress:
        with progress.stage("encrypt", 2048) as stage:
            stage.advance(2048)
        with progress.stage("pull") as stage:
            stage.expect(10)
            stage.advance(10)
        with progress.stage("run"):
            progress.note("a [note]")
    told = stream.getvalue()
    assert "\x1b[" in told
    assert all(word in told for word in ("encrypt", "pull", "run", "a [note]", "━"))


def test_failed_bar_is_marked(monkeypatch: pytest.MonkeyPatch) -> None:
    """A step that raises ends with another mark."""
    monkeypatch.setenv("TERM", "xterm")
    stream = _Terminal()
    with show_progress(stream) as progress, pytest.raises(ValueError, match="x"), progress.stage("encrypt"):
        raise ValueError("x")
    assert "✗ encrypt" in stream.getvalue()


def test_failed_step_is_not_shown_as_done() -> None:
    """A step that raises has no line."""
    stream = io.StringIO()
    with show_progress(stream) as progress, pytest.raises(ValueError, match="x"), progress.stage("encrypt"):
        raise ValueError("x")
    assert stream.getvalue() == ""


def test_errors_of_services_are_shown() -> None:
    """An embedded service's errors become notes, its milder news do not."""
    stream = io.StringIO()
    with show_progress(stream) as progress, show_errors(progress):
        logging.getLogger("bannock.cas").warning("mild")
        logging.getLogger("bannock.cas").error("the disk is %s", "full")
    assert stream.getvalue() == "the disk is full\n"


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (3 << 20, "3.0 MiB"),
        (5 << 30, "5.0 GiB"),
        (2 << 40, "2.0 TiB"),
    ],
)
def test_amounts(size: int, text: str) -> None:
    """Bytes are written with the binary units."""
    assert amount(size) == text
