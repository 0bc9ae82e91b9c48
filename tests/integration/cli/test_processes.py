"""Commands as processes: interrupted, cut off, and started with streams that others have closed."""

from __future__ import annotations

import os
import shlex
import signal
import socket
import subprocess
import sys
from typing import IO, TYPE_CHECKING, Final

import pytest

from bannock.cli.commands import MODULES
from bannock.cli.signals import BROKEN_PIPE, INTERRUPTED, TERMINATED
from bannock.errors import EnvironmentFault

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_SECONDS: Final = 30.0


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of whoever runs the tests is used, and Python writes as it does for users."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("FORCE_COLOR", "BANNOCK_DEBUG", "BANNOCK_HOME", "SCONE_CLI_CONFIG", "PYTHONUNBUFFERED"):
        monkeypatch.delenv(name, raising=False)


def _line(command: str, *arguments: str) -> list[str]:
    # As the console script that installing makes.
    program = f"import sys; from {MODULES[command]} import entry; sys.argv[0] = '{command}'; sys.exit(entry())"
    return [sys.executable, "-c", program, *arguments]


def _start(*words: str, stdout: int | IO[bytes] = subprocess.PIPE) -> subprocess.Popen[bytes]:
    # The suite may run where SIGINT is ignored, which children would inherit.
    line = ["env", "--default-signal=INT,TERM,PIPE", *_line(*words)]
    return subprocess.Popen(line, stdin=subprocess.DEVNULL, stdout=stdout, stderr=subprocess.PIPE)


def _ended(process: subprocess.Popen[bytes]) -> tuple[int, str]:
    _, told = process.communicate(timeout=_SECONDS)
    return process.returncode, told.decode()


@pytest.mark.parametrize("command", MODULES)
def test_nobody_reads_the_help(command: str) -> None:
    """Whoever reads it may stop after the first line, and nothing is said of that."""
    reading, writing = os.pipe()
    os.close(reading)
    with open(writing, "wb") as stream:  # noqa: PTH123 - a descriptor
        assert _ended(_start(command, "--help", stdout=stream)) == (BROKEN_PIPE, "")


def test_output_that_cannot_be_written_is_an_error() -> None:
    """A result that is lost is never a success."""
    with open("/dev/full", "wb") as full:  # noqa: PTH123 - no path of ours
        code, told = _ended(_start("scone", "help-markdown", stdout=full))
    assert code == EnvironmentFault.exit_code
    assert told.startswith("Error: the output cannot be written: No space left on device\n")
    assert told.count("\n") == 3


def test_streams_that_are_closed(tmp_path: Path) -> None:
    """No file of ours takes their places, and nothing fails."""
    line = shlex.join(_line("scone", "self", "show-key-hash"))
    done = subprocess.run(["/bin/sh", "-c", f"exec {line} <&- >&- 2>&-"], check=False, timeout=_SECONDS)
    assert done.returncode == 0
    assert (tmp_path / ".cas" / "config.json").read_bytes().startswith(b"{")


def test_names_that_are_no_text(tmp_path: Path) -> None:
    """A file whose name is not UTF-8 is named as well as it can be."""
    name = os.fsencode(tmp_path) + b"/\xff.yml"
    done = subprocess.run(
        [os.fsencode(word) for word in _line("scone", "session", "check")] + [name],
        capture_output=True, check=False, timeout=_SECONDS, env={**os.environ, "PYTHONIOENCODING": "ascii"},
    )  # fmt: skip
    assert done.returncode == 2
    assert b"\\udcff.yml" in done.stderr
    assert b"cannot be has happened" not in done.stderr


@pytest.fixture
def silent() -> Iterator[socket.socket]:
    """A service that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(_SECONDS)
        yield server


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, INTERRUPTED), (signal.SIGTERM, TERMINATED)])
@pytest.mark.parametrize("words", ["scone las probe --las", "bannock doctor services --las", "scone cas attest"])
def test_interrupted_while_waiting(silent: socket.socket, words: str, number: int, code: int) -> None:
    """Ctrl-C ends whatever waits for somebody else at once, with one line."""
    process = _start(*words.split(), f"127.0.0.1:{silent.getsockname()[1]}")
    connection, _ = silent.accept()
    with connection:
        process.send_signal(number)
        assert _ended(process) == (code, "Interrupted\n")


@pytest.mark.parametrize(
    "words",
    ["bannock las serve --no-tcp --unix las.sock", "bannock transfer serve --directory files --listen 127.0.0.1:0"],
)
def test_services_end_by_an_interrupt(words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They stop, and leave no traceback."""
    monkeypatch.chdir(tmp_path)
    process = _start(*words.split())
    assert process.stdout is not None
    assert process.stdout.readline()
    process.send_signal(signal.SIGINT)
    code, told = _ended(process)
    assert code in (0, INTERRUPTED)
    assert "Traceback" not in told


def test_a_demonstration_that_is_interrupted_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """CAS, LAS, host and volumes go."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    process = _start("bannock", "demo", "--output", str(tmp_path / "outputs"))
    assert process.stderr is not None
    first = process.stderr.readline()
    process.send_signal(signal.SIGINT)
    code, told = _ended(process)
    assert code == INTERRUPTED, told
    assert "Traceback" not in first.decode() + told
    assert told.endswith("Interrupted\n")
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith("bannock")] == []
