"""Which files decide how a program starts: itself, its loader, its libraries; for a script its interpreter's too.

Every file that the loader might choose is in the set, also where only one is chosen in the end. With glibc, the
loader's cache is in the set, because it decides which libraries are found. What a running program opens or starts by
itself (dlopen(3), execve(2)) is not.
"""

from __future__ import annotations

import posixpath
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from bannock.errors import InputError
from bannock.identity.libraries import FileReader, Libraries

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["FileReader", "Start", "measured_files", "start_of"]

#: As the kernel reads of a script, and as deep as it follows (Linux, fs/binfmt_script.c and fs/exec.c).
_FIRST_LINE: Final = 256
_MAX_INTERPRETERS: Final = 4
_ENV: Final = "env"
#: Where env(1) looks for a program in the environments that sessions usually give; a bundle's own directory is first.
_SEARCH: Final = ("/app/bin", "/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """What decides how a program starts.

    Attributes:
        program: its canonical path.
        files: canonical paths, sorted; the program is one of them.
        links: name under which one of them is looked up, if it is not its canonical path → that path.
        entries: canonical paths of those in which the kernel starts programs: loaders, and programs without one. The
            first one is that of the program; a script has those of its interpreters.
    """

    program: str
    files: tuple[str, ...]
    links: Mapping[str, str]
    entries: tuple[str, ...]


def measured_files(program: str, reader: FileReader) -> tuple[str, ...]:
    """Return the canonical paths of the files that decide how a program starts, sorted.

    Raises:
        InputError: one is missing, is no program, or is malformed.
    """
    return start_of(program, reader).files


def start_of(program: str, reader: FileReader) -> Start:
    """Find what decides how a program starts.

    Args:
        program: an absolute path. It may be a link, which is then not part of the result: the caller's name for it
            decides nothing inside the enclave.
        reader: reads the enclave's files.

    Raises:
        InputError: a file is missing, is no program, or is malformed.
    """
    found: dict[str, str] = {}
    entries: list[str] = []
    canonical = reader.resolve(program)
    _add(canonical, reader, found, entries, _MAX_INTERPRETERS)
    links = {name: path for name, path in found.items() if name != path}
    files = tuple(sorted({*found.values()}))
    return Start(program=canonical, files=files, links=links, entries=tuple(dict.fromkeys(entries)))


def _add(path: str, reader: FileReader, found: dict[str, str], entries: list[str], depth: int) -> None:
    """Note a program, as name → canonical path, and all that it is started with."""
    canonical = found[path] = reader.resolve(path)
    first = reader.read(canonical, 0, _FIRST_LINE)
    if not first.startswith(b"#!"):
        loader = Libraries(reader, found).add_program(canonical)
        entries.append(loader or canonical)
        return
    if depth == 0:
        raise InputError(f"{path}: its interpreters are scripts themselves, more than {_MAX_INTERPRETERS} deep")
    words = _words(path, first)
    _require_absolute(path, words[0])
    _add(words[0], reader, found, entries, depth - 1)
    # By the name that it is called by, as programs of many names go by; and by its own.
    if _ENV in (posixpath.basename(words[0]), posixpath.basename(found[words[0]])):
        for program in _found_by_env(path, words[1:], reader):
            _add(program, reader, found, entries, depth - 1)


def _words(path: str, first: bytes) -> list[str]:
    line, end, _ = first[2:].partition(b"\n")
    if not end and len(first) == _FIRST_LINE:
        raise InputError(f"{path}: the first line has more than {_FIRST_LINE} bytes")
    try:
        # The kernel ends words at blanks and tabs, and the line at a line feed; all else is part of a name.
        words = [word for word in line.decode().replace("\t", " ").split(" ") if word]
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: the first line is not UTF-8") from error
    if not words:
        raise InputError(f"{path}: the first line names no interpreter")
    return words


def _found_by_env(path: str, words: list[str], reader: FileReader) -> list[str]:
    """Return every program that env(1) might start for ``#!/usr/bin/env [-S] NAME …``."""
    if words[:1] == ["-S"]:
        words = words[1:]
    if not words or words[0].startswith("-") or "=" in words[0]:
        raise InputError(
            f"{path}: the first line asks more of env than a program", hint="name the interpreter by path"
        )
    if "/" in words[0]:
        _require_absolute(path, words[0])
        return [words[0]]
    found = [name for directory in _SEARCH if reader.exists(name := f"{directory}/{words[0]}")]
    if not found:
        raise InputError(f"{path}: its interpreter {words[0][:80]!r} is in none of {', '.join(_SEARCH)}")
    return found


def _require_absolute(path: str, interpreter: str) -> None:
    if not interpreter.startswith("/"):
        raise InputError(f"{path}: its interpreter is named by an absolute path, found {interpreter[:80]!r}")
