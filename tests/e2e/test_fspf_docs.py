"""The user's guide of the file shield: its commands do what it says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING

from bannock.cli.scone import VERBS
from tests.e2e.machine import REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_GUIDE = REPOSITORY / "docs" / "fspf.md"


def _commands() -> Iterator[tuple[str, str]]:
    """Yield each command of the guide, and what follows it there."""
    for block in re.findall(r"^```console\n(.*?)^```", _GUIDE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, output = part.partition("\n")
            yield command, output


def _masked(text: str) -> str:
    """Return a text without what is random."""
    return re.sub(r"\b([0-9a-f]{64}|[0-9a-f]{32})\b", lambda found: f"<{len(found[1])}>", text)


def test_outputs_are_real(tmp_path: Path) -> None:
    """Every command of the guide prints what stands below it, but for keys and tags."""
    scone = tmp_path / "tools" / "scone"
    scone.parent.mkdir()
    scone.write_text(f'#!/bin/sh\nexec {sys.executable} -I -m bannock.cli.scone "$@"\n')
    scone.chmod(0o755)
    here = tmp_path / "here"
    here.mkdir()
    commands = list(_commands())
    assert len(commands) > 12
    # One shell for all, because some commands set variables; each is followed by a line that ends its output.
    script = "umask 022\nexec 2>&1\n" + "".join(
        f"{command}\necho '--{number}'\n" for number, (command, _) in enumerate(commands)
    )
    environment = {"PATH": f"{scone.parent}{os.pathsep}{os.defpath}", "LANG": "C.UTF-8"}
    told = subprocess.run(
        ["/bin/bash", "-c", script], env=environment, cwd=here, capture_output=True, text=True, check=True, timeout=120
    ).stdout
    for number, (command, expected) in enumerate(commands):
        output, _, told = told.partition(f"--{number}\n")
        assert _masked(output) == _masked(expected), command


def test_every_verb_is_explained() -> None:
    """The guide speaks of every verb, and of none that is not there."""
    text = _GUIDE.read_text(encoding="utf-8")
    spoken = set(re.findall(r"(?:scone fspf|`)(?: ?)(create-volume|[a-z]+)\b", text))
    verbs = {words[1] for words in VERBS if words[0] == "fspf"}
    assert verbs <= spoken
    assert set(re.findall(r"scone fspf ([a-z][a-z-]*)", text)) <= verbs
