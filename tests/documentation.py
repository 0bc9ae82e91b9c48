"""Pages of the documentation whose blocks are run as they stand, by somebody who follows them from the top.

What a block is for is in its first line:

``console``
    commands after ``$ ``, gone on with after ``> ``, and below each what it prints, on both streams;
``bash``
    commands to copy, each of which has to succeed; what they print is not on the page;
any, with ``title="FILE"``
    a file of that name.

All other blocks are for reading. What a page prints is compared but for what is random, which masks name; ``…`` stands
for anything within a line, and alone in a line for any lines.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from tests.e2e.machine import REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

__all__ = ["COMMANDS", "MASKS", "Page", "Reader", "Step", "page", "read", "tools"]

#: What is another one each time.
MASKS: Final = (
    (r"\b[0-9a-f]{64}\b", "<hash>"),
    (r"\b[1-9A-HJ-NP-Za-km-z]{49,51}\b", "<key hash>"),
    (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", "<time>"),
    (r"\b[0-9a-f]{32}\b", "<tag>"),
)
#: Commands of this installation, and their modules.
COMMANDS: Final = {
    "bannock": "bannock",
    "determine_sgx_device": "determine_sgx_device",
    "kubectl-provision": "kubectl_provision",
    "scone": "scone",
    "scone-signer": "scone_signer",
    "sconectl": "sconectl",
    "sconify_iexec": "sconify_iexec",
    "sconify_image": "sconify_image",
}
_BLOCK: Final = re.compile(r"^```(?P<info>[^`\n]*)\n(?P<body>.*?)^```$", re.DOTALL | re.MULTILINE)
_TITLE: Final = re.compile(r'title="(?P<name>[^"]+)"')
_ANY: Final = "…"
#: Runs a program in a network that holds nothing but a loopback device, so that the usual ports are free.
_ALONE: Final = textwrap.dedent("""
    import fcntl, os, socket, struct, sys
    from bannock import linux
    linux.unshare(0x40000000)
    with socket.socket() as any_socket:
        fcntl.ioctl(any_socket, 0x8914, struct.pack("16sh", b"lo", 1))
    os.execv(sys.argv[1], sys.argv[1:])
""")


@dataclass(frozen=True)
class Step:
    """Something that a reader does.

    Attributes:
        line: of the page.
        command: for the shell.
        output: what it prints; None: whatever it prints, it has to succeed.
    """

    line: int
    command: str
    output: str | None = None


@dataclass(frozen=True)
class Page:
    """A page of the documentation."""

    path: Path
    steps: Sequence[Step]

    @property
    def commands(self) -> list[str]:
        """Its commands, for tests that ask whether something is on it."""
        return [step.command for step in self.steps]


@dataclass(frozen=True)
class Reader:
    """Somebody who follows pages in a directory.

    Attributes:
        directory: where they work.
        variables: of their shell, beside a home and a path.
        alone: in a network that holds nothing but a loopback device; takes root.
        masks: patterns of what is another one each time, and what stands for it.
        before: commands of their shell before the page's.
    """

    directory: Path
    variables: Mapping[str, str] = field(default_factory=dict)
    alone: bool = False
    masks: Sequence[tuple[str, str]] = MASKS
    before: str = ""

    def follow(self, page: Page, *, seconds: float = 300) -> None:
        """Do all that a page says, in one shell, and compare what it prints.

        That is kept beside the directory, for authors.

        Raises:
            AssertionError: a command failed, or printed something else; all of them are told.
        """
        told = self._told(page.steps, seconds)
        self.directory.with_name(f"{page.path.stem}.transcript").write_text(told)
        differing: list[str] = []
        for number, step in enumerate(page.steps):
            output, ended, told = told.partition(f"--{number}\n")
            where = f"{page.path.name}:{step.line}\n$ {step.command}{output}"
            if not ended:
                differing.append(f"{where}(the shell ended here)")
                break
            if step.output is not None and not self._is(output, step.output):
                differing.append(f"{where}expected:\n{step.output}")
        assert not differing, "\n".join(differing)

    def _told(self, steps: Sequence[Step], seconds: float) -> str:
        # One shell for all, because some commands set variables; each is followed by a line that ends its output.
        lines = ["umask 022", "exec 2>&1", "trap 'kill $(jobs -p) 2>/dev/null; wait' EXIT", self.before]
        for number, step in enumerate(steps):
            lines.append(step.command if step.output is not None else f"set -e\n{step.command}set +e")
            lines.append(f"echo '--{number}'")
        shell = ["/bin/bash", "-c", "\n".join(lines)]
        self.directory.mkdir(exist_ok=True)
        done = subprocess.run(
            [sys.executable, "-I", "-c", _ALONE, *shell] if self.alone else shell,
            env={"PATH": os.defpath, "HOME": str(self.directory), "LANG": "C.UTF-8", **self.variables},
            cwd=self.directory,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=seconds,
        )
        return done.stdout

    def _is(self, output: str, expected: str) -> bool:
        pattern = re.escape(self._masked(expected))
        pattern = re.sub(rf"^{_ANY}\n", "(?:.*\n)*", pattern.replace("\\\n", "\n"), flags=re.MULTILINE)
        return re.fullmatch(pattern.replace(_ANY, ".*"), self._masked(output)) is not None

    def _masked(self, text: str) -> str:
        for pattern, name in self.masks:
            text = re.sub(pattern, name, text)
        return text


def page(name: str) -> Page:
    """Read a page, by its path below docs/."""
    path = REPOSITORY / "docs" / name
    return Page(path=path, steps=read(path.read_text(encoding="utf-8")))


def read(text: str) -> tuple[Step, ...]:
    """Read what a page says is to be done."""
    return tuple(_steps(text))


def _steps(text: str) -> Iterator[Step]:
    for block in _BLOCK.finditer(text):
        line = text.count("\n", 0, block.start()) + 2
        kind, _, rest = block["info"].strip().partition(" ")
        if (title := _TITLE.search(rest)) is not None:
            yield Step(line, _writing(title["name"], block["body"]))
        elif kind == "bash":
            yield Step(line, block["body"])
        elif kind == "console":
            yield from _typed(line, block["body"])


def _typed(line: int, body: str) -> Iterator[Step]:
    """Yield the commands of a block with a prompt, and what each prints."""
    for part in re.split(r"^\$ ", body, flags=re.MULTILINE)[1:]:
        lines = part.splitlines(keepends=True)
        end = next((number for number, each in enumerate(lines[1:], 1) if not each.startswith("> ")), len(lines))
        command = lines[0] + "".join(each.removeprefix("> ") for each in lines[1:end])
        yield Step(line, command, "".join(lines[end:]))
        line += len(lines)


def _writing(name: str, content: str) -> str:
    """Return the command that makes a file."""
    end = "--END-OF-FILE--"
    return f"mkdir -p \"$(dirname '{name}')\"\ncat > '{name}' << '{end}'\n{content}{end}\n"


def tools(directory: Path, names: Sequence[str] = ("bannock", "scone")) -> str:
    """Make commands of this installation below a directory, and return a PATH with them."""
    directory.mkdir(exist_ok=True)
    for name in names:
        path = directory / name
        path.write_text(f'#!/bin/sh\nexec {sys.executable} -I -m bannock.cli.{COMMANDS[name]} "$@"\n')
        path.chmod(0o755)
    return f"{directory}:/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin"
