"""The tutorial of ``scone``: its commands do what it says, for a new user, in a network of their own."""

from __future__ import annotations

import re
import subprocess
import sys
import textwrap
from typing import TYPE_CHECKING

import pytest

from bannock.cli.scone import VERBS
from tests.e2e.machine import REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_GUIDE = REPOSITORY / "docs" / "cli.md"
#: Runs a program in a network that holds nothing but a loopback device, so that the usual ports are free.
_ALONE = textwrap.dedent("""
    import fcntl, os, socket, struct, sys
    from bannock import linux
    linux.unshare(0x40000000)
    with socket.socket() as any_socket:
        fcntl.ioctl(any_socket, 0x8914, struct.pack("16sh", b"lo", 1))
    os.execv(sys.argv[1], sys.argv[1:])
""")
_MASKS = (
    (r"\b[0-9a-f]{64}\b", "<hash>"),
    (r"\b[1-9A-HJ-NP-Za-km-z]{49,51}\b", "<key hash>"),
    (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", "<time>"),
)


def _commands() -> Iterator[tuple[str, str]]:
    """Yield each command of the guide, and what follows it there."""
    for block in re.findall(r"^```console\n(.*?)^```", _GUIDE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            lines = part.splitlines(keepends=True)
            end = next((number for number, line in enumerate(lines[1:], 1) if not line.startswith("> ")), len(lines))
            command = lines[0] + "".join(line.removeprefix("> ") for line in lines[1:end])
            yield command, "".join(lines[end:])


def _masked(text: str) -> str:
    """Return a text without what is random."""
    for pattern, name in _MASKS:
        text = re.sub(pattern, name, text)
    return text


@pytest.mark.root
def test_outputs_are_real(tmp_path: Path) -> None:
    """Every command of the tutorial prints what stands below it, but for hashes and times."""
    tools, here = tmp_path / "tools", tmp_path / "home"
    tools.mkdir()
    here.mkdir()
    for name in ("scone", "bannock"):
        (tools / name).write_text(f'#!/bin/sh\nexec {sys.executable} -I -m bannock.cli.{name} "$@"\n')
        (tools / name).chmod(0o755)
    commands = list(_commands())
    assert len(commands) > 30
    # One shell for all, because some commands set variables; each is followed by a line that ends its output.
    script = "exec 2>&1\ntrap 'kill $(jobs -p); wait' EXIT\n" + "".join(
        f"{command}echo '--{number}'\n" for number, (command, _) in enumerate(commands)
    )
    environment = {"PATH": f"{tools}:/usr/bin:/bin:/usr/sbin:/sbin", "HOME": str(here), "LANG": "C.UTF-8"}
    done = subprocess.run(
        [sys.executable, "-I", "-c", _ALONE, "/bin/bash", "-c", script],
        env=environment,
        cwd=here,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    told = done.stdout
    differing: list[str] = []
    for number, (command, expected) in enumerate(commands):
        output, _, told = told.partition(f"--{number}\n")
        if _masked(output) != _masked(expected):
            differing.append(f"$ {command}{output}expected:\n{expected}")
    assert not differing, "\n".join(differing)


def test_every_verb_is_listed() -> None:
    """The table at the end has every command, as its help describes it, and no other."""
    rows = re.findall(r"^\| `scone ([a-z -]+)` \| (.*) \|$", _GUIDE.read_text(encoding="utf-8"), re.MULTILINE)
    expected = {" ".join(words): what for words, (_, what) in VERBS.items() if words[0] != "fspf"}
    assert dict(rows) == expected
    assert len(rows) == len(expected)
