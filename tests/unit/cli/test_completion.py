"""What real shells complete, and the help as one document."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import shutil
import struct
import subprocess
import termios
import time
from typing import TYPE_CHECKING, Final

import pytest

from bannock.cli import scone
from bannock.cli.bannock import main
from bannock.cli.commands import MODULES
from bannock.cli.completable import points
from bannock.cli.completion import SHELLS, completion

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_SECONDS: Final = 30.0
#: All fits on it.
_ROWS_AND_COLUMNS: Final = struct.pack("HHHH", 500, 160, 0, 0)
#: A line, what is offered, what is not. There is a directory `inputs` and a file `session.yml` where shells run.
_CASES: Final = [
    ("scone ", "session cas fspf", "create"),
    ("scone se", "session self", "cas"),
    ("scone session ", "create read sign", "attest --cas"),
    ("scone session cr", "create", "read"),
    ("scone session create --", "--use-env --cas --identity", "--mrenclave"),
    ("scone session create ses", "session.yml", "session"),
    ("scone session sign session.yml add-signature --", "--help", "--use-env"),
    ("scone session explain --format ", "text dot svg json", "session.yml"),
    ("scone session explain --format=s", "svg", "json"),
    ("scone -c file cas attest --mr", "--mrenclave --mrsigner", "--retries"),
    ("scone cas attest address -", "-c -G", "-T"),
    ("bannock ", "doctor execute cas", "attest"),
    ("bannock cas b", "backup", "serve"),
    ("bannock doctor ", "machine services", "session.yml"),
    ("bannock runs resume --conf in", "inputs", "session.yml"),
    ("bannock completion ", "bash zsh fish", "session.yml"),
    ("sconectl apply --mode ", "production debug", "inputs"),
    ("scone-signer ", "sign verify info", "session"),
    ("kubectl-provision ", "cas", "session.yml"),
    ("determine_sgx_device --sh", "--shell", "--help"),
]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a directory, a file, and what each shell reads."""
    directory = tmp_path_factory.mktemp("completion")
    (directory / "inputs").mkdir()
    (directory / "session.yml").touch()
    scripts = directory / ".scripts"
    scripts.mkdir()
    for shell in SHELLS:
        (scripts / shell).write_text(completion(shell, list(MODULES)), encoding="utf-8")
    return directory


def _bash(place: Path) -> Callable[[str], set[str]]:
    # Bash takes words apart at these, too.
    apart = re.compile(r"[^\s=]+|=|(?<=[\s=])$")

    def ask(line: str) -> set[str]:
        words = apart.findall(line)
        program = (
            f"source .scripts/bash; compopt() {{ :; }}; COMP_WORDS=({' '.join(map(repr, words))}); "
            f"COMP_CWORD={len(words) - 1}; _bannock_complete {words[0]}; "
            # What -o default does where a function offers nothing.
            f'((${{#COMPREPLY[@]}})) || COMPREPLY=($(compgen -f -- "{words[-1]}")); printf "%s\\n" "${{COMPREPLY[@]}}"'
        )
        done = subprocess.run(["/bin/bash", "-c", program], cwd=place, capture_output=True, text=True, check=True)
        assert not done.stderr
        return set(done.stdout.split())

    return ask


def _fish(place: Path) -> Callable[[str], set[str]]:
    fish = str(shutil.which("fish"))

    def ask(line: str) -> set[str]:
        done = subprocess.run(
            [fish, "--no-config", "-c", "source .scripts/fish; complete -C $argv[1]", line],
            cwd=place, capture_output=True, text=True, check=True, env={**os.environ, "HOME": str(place)},
        )  # fmt: skip
        # What follows `--format=` is offered with it.
        return {offered.split("\t")[0].rpartition("=")[2].rstrip("/") for offered in done.stdout.splitlines()}

    return ask


class _Terminal:
    """A zsh as somebody types in it."""

    def __init__(self, place: Path) -> None:
        (place / ".zshrc").write_text(
            "unsetopt beep zle_bracketed_paste 2>/dev/null; zle_highlight=(none); PS1='READY%% '; LISTMAX=0\n"
            "setopt no_list_beep no_always_last_prompt; autoload -Uz compinit; compinit -u -D; source .scripts/zsh\n"
            "zstyle ':completion:*' verbose no\nbindkey '^I' list-choices\n"
        )
        environment = {"HOME": str(place), "ZDOTDIR": str(place), "TERM": "dumb", "PATH": os.environ["PATH"]}
        self._child, self._terminal = pty.fork()
        if self._child == 0:
            os.chdir(place)
            os.execvpe("zsh", ["zsh", "-i"], environment)  # noqa: S606, S607 - as a user has it
        fcntl.ioctl(self._terminal, termios.TIOCSWINSZ, _ROWS_AND_COLUMNS)
        self._until(b"READY% ")

    def ask(self, line: str) -> set[str]:
        """Type a line, have what is possible listed, and take the line back."""
        os.write(self._terminal, line.encode() + b"\t")
        shown = self._until(b"READY% ", quiet=0.25)
        os.write(self._terminal, b"\x15")
        self._until(b"", quiet=0.05)
        # Before stands the line as it was typed, and behind it once more.
        listed = shown.replace(line.encode(), b"", 1).rpartition(b"READY% ")[0].decode(errors="replace")
        return {word.rstrip("/") for word in re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", " ", listed).split()}

    def _until(self, what: bytes, quiet: float = 0.0) -> bytes:
        """Read until something has come, or, if it never comes, nothing more does."""
        seen, end = b"", time.monotonic() + _SECONDS
        while time.monotonic() < end:
            if not select.select([self._terminal], [], [], quiet or 0.5)[0]:
                if quiet and (seen or not what):
                    return seen
                continue
            seen += os.read(self._terminal, 1 << 16)
            if not quiet and what in seen:
                return seen
        raise AssertionError(seen)

    def close(self) -> None:
        """End the shell."""
        os.close(self._terminal)
        os.waitpid(self._child, 0)


@pytest.fixture(scope="module", params=SHELLS)
def offered(request: pytest.FixtureRequest, place: Path) -> Iterator[Callable[[str], set[str]]]:
    """What a shell offers for a line."""
    shell = str(request.param)
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    if shell == "zsh":
        terminal = _Terminal(place)
        yield terminal.ask
        terminal.close()
    else:
        yield {"bash": _bash, "fish": _fish}[shell](place)


@pytest.mark.parametrize(("line", "yes", "no"), _CASES, ids=[case[0] for case in _CASES])
def test_shells_complete(offered: Callable[[str], set[str]], line: str, yes: str, no: str) -> None:
    """A real shell offers what fits, and nothing else."""
    told = offered(line)
    assert set(yes.split()) <= told
    assert not set(no.split()) & told


def test_all_that_can_be_typed_is_in_it() -> None:
    """Every verb leads somewhere, and each has options."""
    found = {point.path: point for point in points(MODULES)}
    for words in scone.VERBS:
        assert found["scone", *words].options
        assert words[-1] in found["scone", *words[:-1]].followers
    assert all(what for point in found.values() for what in point.followers.values())


@pytest.mark.parametrize("shell", SHELLS)
def test_both_commands_print_it(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    """`scone` for itself, `bannock` for all."""
    assert scone.main(["completion", shell]) == 0
    assert "sconectl" not in capsys.readouterr().out
    assert main(["completion", shell]) == 0
    assert "sconectl" in capsys.readouterr().out


def test_help_is_one_document(capsys: pytest.CaptureFixture[str]) -> None:
    """Every verb is in it, with its options."""
    assert scone.main(["help-markdown"]) == 0
    told = capsys.readouterr().out
    for words in scone.VERBS:
        assert f"\n## scone {' '.join(words)}\n" in told
        assert f"usage: scone {' '.join(words)} " in told
