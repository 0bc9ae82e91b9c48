"""What a protected image runs: the command of the native one, with the measured program at its begin. Pure."""

from __future__ import annotations

import posixpath
import shlex
from typing import TYPE_CHECKING, Final

from bannock.errors import InputError
from bannock.images.scripts import interpreter_words

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bannock.identity.libraries import FileReader
    from bannock.images.config import Config

__all__ = ["command_of", "files_named"]

_SHELLS: Final = ("/bin/sh", "/bin/bash", "sh", "bash")
#: What makes a line more than words for a program.
_OF_SHELLS: Final = frozenset("|&;<>()$`*?[]#~\n{}!")
_EXEC: Final = "exec"
_SEARCH: Final = ("/app/bin", "/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")
_SHELL_WORDS: Final = 3


def command_of(config: Config, given: Sequence[str] | None, binary: str, reader: FileReader) -> tuple[str, ...]:
    """Return the command of the session.

    Args:
        config: of the native image.
        given: what the user says instead.
        binary: the canonical path of the measured program.
        reader: reads the image.

    Raises:
        InputError: it starts another program than the measured one.
    """
    words = tuple(given) if given is not None else (*config.entrypoint, *config.cmd)
    if not words:
        return (binary,)
    words = _without_shell(words, binary, reader)
    found = _find(words[0], reader)
    if found == binary:
        # By the name that the user has for it: some programs go by that.
        return words if "/" in words[0] or _first(words[0], reader) == binary else (binary, *words[1:])
    if found is not None and (interpreter := _interpreter(found, reader)) and _find(interpreter[0], reader) == binary:
        return (*interpreter, found, *words[1:])
    raise InputError(
        f"the image starts {' '.join(words)[:200]!r}, and the program to be protected is {binary}",
        hint="say what to start with it: --command='PROGRAM ARGUMENTS', or name another --binary",
    )


def files_named(command: Sequence[str], directory: str, reader: FileReader) -> list[str]:
    """Return the files of the image that arguments of a command name."""
    named = [posixpath.join(directory or "/", word) for word in command[1:] if word and not word.startswith("-")]
    return [reader.resolve(path) for path in named if "\0" not in path and reader.exists(path)]


def _without_shell(words: tuple[str, ...], binary: str, reader: FileReader) -> tuple[str, ...]:
    """Take away a shell that does nothing but start one program (``CMD python3 app.py``)."""
    if len(words) != _SHELL_WORDS or words[0] not in _SHELLS or words[1] != "-c" or _find(words[0], reader) == binary:
        return words
    if _OF_SHELLS & set(words[2]):
        return words
    try:
        inner = tuple(shlex.split(words[2]))
    except ValueError:
        return words
    inner = inner[1:] if inner[:1] == (_EXEC,) else inner
    return inner if inner and "=" not in inner[0] else words


def _find(program: str, reader: FileReader) -> str | None:
    if "/" in program:
        path = posixpath.join("/", program)
        return reader.resolve(path) if reader.exists(path) else None
    return _first(program, reader)


def _first(program: str, reader: FileReader) -> str | None:
    found = _named(program, reader)
    return None if found is None else reader.resolve(found)


def _named(program: str, reader: FileReader) -> str | None:
    """Return where a program is found, by its own name there."""
    return next((path for each in _SEARCH if reader.exists(path := f"{each}/{program}")), None)


def _interpreter(path: str, reader: FileReader) -> tuple[str, ...] | None:
    """Return the interpreter of a script by the name that its first line has, and the argument there.

    The name counts: a shell may be a link to a program that is many (busybox).
    """
    words = interpreter_words(path, reader)
    if not words:
        return None
    name = words[0] if "/" in words[0] else _named(words[0], reader)
    return None if name is None else (name, *words[1:])
