"""The command of a session: the image's, by the names that its author has for programs."""

from __future__ import annotations

import tarfile
from typing import TYPE_CHECKING, Any

import pytest

from bannock.errors import InputError
from bannock.images.config import Config
from bannock.images.sconify.command import command_of, files_named
from bannock.images.tree import Tree, TreeReader
from tests.unit.images.build import item, layer, tar

if TYPE_CHECKING:
    from bannock.images.blobs import Scratch

_BUSYBOX = "/bin/busybox"
_PYTHON = "/usr/bin/python3.11"


@pytest.fixture
def reader(scratch: Scratch) -> TreeReader:
    """An image with a program that is many, an interpreter with a link to it, and scripts."""
    files: dict[str, Any] = {
        "bin/busybox": b"\x7fELF",
        "bin/sh": item("bin/sh", tarfile.SYMTYPE, link="busybox"),
        "usr/bin/python3.11": b"\x7fELF",
        "usr/bin/python3": item("usr/bin/python3", tarfile.SYMTYPE, link="python3.11"),
        "app/run.sh": b"#!/bin/sh -e\ntrue\n",
        "app/run.py": b"#!/usr/bin/env python3\npass\n",
        "app/other": b"#!/usr/bin/perl\n",
        "app/nothing": b"#!\n",
        "app/server.py": b"pass\n",
    }
    return TreeReader(Tree((layer(tar(files), scratch),)))


@pytest.mark.parametrize(
    ("entrypoint", "cmd", "binary", "command"),
    [
        ((), ("python3", "/app/server.py"), _PYTHON, ("python3", "/app/server.py")),
        (("/usr/bin/python3",), ("/app/server.py",), _PYTHON, ("/usr/bin/python3", "/app/server.py")),
        ((), ("/bin/sh", "-c", "python3 /app/server.py"), _PYTHON, ("python3", "/app/server.py")),
        ((), ("/bin/sh", "-c", "exec python3 server.py"), _PYTHON, ("python3", "server.py")),
        ((), ("/bin/sh", "-c", "cd /app && ./x"), _BUSYBOX, ("/bin/sh", "-c", "cd /app && ./x")),
        ((), ("sh", "/app/run.sh"), _BUSYBOX, ("sh", "/app/run.sh")),
        (("/app/run.sh",), ("one",), _BUSYBOX, ("/bin/sh", "-e", "/app/run.sh", "one")),
        (("/app/run.py",), (), _PYTHON, ("/usr/bin/python3", "/app/run.py")),
        ((), (), _PYTHON, (_PYTHON,)),
    ],
)
def test_it_is_the_images(
    reader: TreeReader, entrypoint: tuple[str, ...], cmd: tuple[str, ...], binary: str, command: tuple[str, ...]
) -> None:
    """A shell that does nothing is left out, scripts start by their interpreter, and a link's name stays."""
    assert command_of(Config(entrypoint=entrypoint, cmd=cmd), None, binary, reader) == command


@pytest.mark.parametrize(
    "words", [("/app/other",), ("/app/nothing",), ("/app/run.sh",), ("nowhere",), ("/bin/sh", "-c", "x | y")]
)
def test_another_program(reader: TreeReader, words: tuple[str, ...]) -> None:
    """An image that starts something else than what is protected is refused, with both named."""
    with pytest.raises(InputError, match=r"the program to be protected is /usr/bin/python3\.11"):
        command_of(Config(cmd=words), None, _PYTHON, reader)
    assert command_of(Config(cmd=words), ("python3", "-V"), _PYTHON, reader)[1:] == ("-V",)


def test_files_that_are_named(reader: TreeReader) -> None:
    """Arguments that are files of the image, by the directory that the program starts in."""
    words = ("python3", "server.py", "-v", "/bin/sh", "no\0thing", "gone")
    assert files_named(words, "/app", reader) == ["/app/server.py", "/bin/busybox"]
