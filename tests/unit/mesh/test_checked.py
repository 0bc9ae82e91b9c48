"""Manifests that were found good are known the second time, and no others."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

from bannock.mesh.checked import CheckedManifests

if TYPE_CHECKING:
    from pathlib import Path

_MANIFEST = """\
apiVersion: scone/5.8
kind: genservice
build: {name: hello, kind: binary, to: hello:1, command: ./hello, copy: [hello]}
"""
_PROGRAM = """\
import sys
from bannock.mesh.manifests import parse_manifest
parse_manifest(sys.argv[1], checked=bool(sys.argv[2]))
print("pydantic" in sys.modules)
"""


def test_what_was_added_is_known(tmp_path: Path) -> None:
    """A note holds for the very text; one that is old goes."""
    checked = CheckedManifests(tmp_path / "notes")
    assert _MANIFEST not in checked
    checked.add(_MANIFEST)
    assert _MANIFEST in checked
    assert f"{_MANIFEST} " not in checked
    assert (tmp_path / "notes").stat().st_mode & 0o77 == 0
    [note] = (tmp_path / "notes").iterdir()
    os.utime(note, (0, 0))
    checked.add(f"{_MANIFEST} ")
    assert _MANIFEST not in checked


def test_where_nothing_can_be_kept(tmp_path: Path) -> None:
    """Then every manifest is looked at each time."""
    (tmp_path / "notes").write_text("a file")
    checked = CheckedManifests(tmp_path / "notes")
    checked.add(_MANIFEST)
    assert _MANIFEST not in checked


def test_what_is_known_loads_no_session_language() -> None:
    """The language of sessions takes as long to load as a small image takes to be built."""
    for known, loaded in (("", "True\n"), ("yes", "False\n")):
        command = [sys.executable, "-c", _PROGRAM, _MANIFEST, known]
        assert subprocess.run(command, check=True, capture_output=True, text=True).stdout == loaded
