"""Which program of an image becomes the enclave."""

from __future__ import annotations

import posixpath
from dataclasses import dataclass, field

import pytest

from bannock.errors import InputError
from bannock.mesh.build.program import measured_program_of
from bannock.mesh.manifests import parse_service

_MANIFEST = """\
apiVersion: scone/5.8
kind: genservice
build: {{name: s, kind: binary, to: "s:1", command: "{command}"{more}}}
"""


@dataclass
class _Files:
    """An image of a few files and links."""

    files: dict[str, bytes]
    links: dict[str, str] = field(default_factory=dict)

    def resolve(self, path: str) -> str:
        """Follow a link."""
        plain = posixpath.normpath(path)
        return self.links.get(plain, plain)

    def exists(self, path: str) -> bool:
        """Whether there is such a file."""
        return self.resolve(path) in self.files

    def read(self, path: str, offset: int, size: int) -> bytes:
        """Read a part."""
        return self.files[self.resolve(path)][offset : offset + size]

    def digest(self, path: str) -> tuple[bytes, int]:
        """Nobody asks for it."""
        raise NotImplementedError


_IMAGE = _Files(
    {
        "/usr/bin/python3.11": b"\x7fELF",
        "/usr/local/bin/tool": b"\x7fELF",
        "/app/serve": b"\x7fELF",
        "/app/start.sh": b"#!/bin/sh\n",
        "/app/run.py": b"#!/usr/bin/env python3\n",
        "/usr/bin/dash": b"\x7fELF",
    },
    {"/usr/bin/python3": "/usr/bin/python3.11", "/bin/sh": "/usr/bin/dash"},
)


@pytest.mark.parametrize(
    ("command", "program", "words", "names"),
    [
        ("python3 app.py", "/usr/bin/python3.11", ("python3", "app.py"), ("/usr/bin/python3",)),
        ("tool -v", "/usr/local/bin/tool", ("tool", "-v"), ("/usr/local/bin/tool",)),
        ("./serve x", "/app/serve", ("/app/serve", "x"), ("/app/serve",)),
        ("serve x", "/app/serve", ("/app/serve", "x"), ("/app/serve",)),
        ("/app/serve", "/app/serve", ("/app/serve",), ("/app/serve",)),
        ("./start.sh a", "/usr/bin/dash", ("/app/start.sh", "a"), ("/app/start.sh", "/bin/sh")),
        ("/app/run.py", "/usr/bin/python3.11", ("/app/run.py",), ("/app/run.py", "/usr/bin/python3")),
    ],
)
def test_program_of_a_command(command: str, program: str, words: tuple[str, ...], names: tuple[str, ...]) -> None:
    """By the path, by the search path, beside the files of the service, or the interpreter of a script."""
    build = parse_service(_MANIFEST.format(command=command, more="")).build
    found = measured_program_of(build, command.split(), "/app", _IMAGE)
    assert (found.program, found.command, found.names) == (program, words, names)


def test_program_that_is_named() -> None:
    """``binaries`` counts more than the command."""
    build = parse_service(_MANIFEST.format(command="/app/start.sh", more=", binaries: [/app/serve]")).build
    found = measured_program_of(build, ["/app/start.sh"], "/app", _IMAGE)
    assert (found.program, found.command) == ("/app/serve", ("/app/start.sh",))
    build = parse_service(_MANIFEST.format(command="/app/start.sh", more=", binaries: [/app/other]")).build
    with pytest.raises(InputError, match="there is no program /app/other"):
        measured_program_of(build, ["/app/start.sh"], "/app", _IMAGE)


def test_program_that_is_missing() -> None:
    """It is said which one, and what to do."""
    build = parse_service(_MANIFEST.format(command="ruby app.rb", more="")).build
    with pytest.raises(
        InputError, match=r"build\.command starts 'ruby', and the image has no such program"
    ) as refused:
        measured_program_of(build, ["ruby", "app.rb"], "/app", _IMAGE)
    assert refused.value.hint is not None
