"""Reads logs of strace(1): which paths a program used, and how. Pure.

Logs of ``strace``, ``strace -f`` (one file for all processes, with or without ``-o``) and ``strace -y`` are read, by
whatever version; lines that say nothing of files are passed over. What is found is a hint for a person who protects
directories, so nothing here refuses a log: a program can write what it likes into its own log anyway.
"""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Access", "Kind", "read_log"]

Kind = Literal["read", "execute", "list", "probe", "missing", "write"]

#: ``123  call(…``, ``[pid 123] call(…``, ``12:00:00.1 call(…``; or what goes on of a call that was interrupted.
_LINE: Final = re.compile(
    rb"(?:\[pid\s+(?P<bracketed>\d+)\]\s+|(?P<pid>\d+)\s+)?(?:[\d:.]+\s+)?"
    rb"(?:(?P<call>[a-z_0-9]+)\((?P<rest>.*)|<\.\.\. (?P<resumed>[a-z_0-9]+) resumed>(?P<tail>.*))",
    re.DOTALL,
)
_UNFINISHED: Final = re.compile(rb"\s*<unfinished \.\.\.>\s*$")
_RESULT: Final = re.compile(rb".*\)\s+= (?P<number>-?\d+|\?)(?:<[^>]*>)?(?P<why>[^=]*)$", re.DOTALL)
_DIRECTORY: Final = re.compile(rb"\s*(?:AT_FDCWD|-?\d+)(?:<(?P<path>(?:[^>\\]|\\.)*)>)?\s*,\s*")
_TEXT: Final = re.compile(rb'\s*"(?P<text>(?:[^"\\]|\\.)*)"(?P<cut>\.\.\.)?\s*,?\s*')
_ESCAPE: Final = re.compile(rb"\\(x[0-9a-fA-F]{2}|[0-7]{1,3}|.)", re.DOTALL)
_LETTERS: Final = {b"n": b"\n", b"t": b"\t", b"r": b"\r", b"v": b"\v", b"f": b"\f", b"a": b"\a", b"b": b"\b"}
_WRITING: Final = re.compile(rb"O_WRONLY|O_RDWR|O_CREAT|O_TRUNC|O_APPEND")
_CHILDREN: Final = frozenset({b"clone", b"clone3", b"fork", b"vfork"})
_OPEN: Final = frozenset({b"open", b"openat", b"openat2", b"creat"})
_EXECUTE: Final = frozenset({b"execve", b"execveat"})
#: Calls of one path that change something there; those of two paths change both.
_CHANGE: Final = frozenset(
    {b"mkdir", b"mkdirat", b"mknod", b"mknodat", b"unlink", b"unlinkat", b"rmdir", b"truncate", b"chmod", b"fchmodat"}
    | {b"rename", b"renameat", b"renameat2", b"link", b"linkat", b"symlink", b"symlinkat"}
    | {b"chown", b"lchown", b"fchownat", b"utimensat"}
)
_PROBE: Final = frozenset(
    {b"stat", b"lstat", b"newfstatat", b"fstatat64", b"statx", b"access", b"faccessat", b"faccessat2", b"statfs"}
    | {b"readlink", b"readlinkat", b"getxattr", b"lgetxattr", b"chdir"}
)
#: Longer ones are of no program that names files.
_LINE_BYTES_MAX: Final = 64 << 10
_NOT_THERE: Final = (b"ENOENT", b"ENOTDIR")


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """What a program did with a path.

    Attributes:
        path: absolute and normal, as the program named it (links are not followed).
        kinds: what it did; ``missing`` where it looked for it in vain, at least once.
    """

    path: str
    kinds: frozenset[Kind]


def read_log(lines: Iterable[bytes], *, cwd: str = "/") -> tuple[Access, ...]:
    """Read a log, and return what was done with each path, sorted.

    Args:
        lines: those of the log.
        cwd: the directory that the program was started in.
    """
    log = _Log(cwd)
    for line in lines:
        if len(line) <= _LINE_BYTES_MAX:
            log.take(line.rstrip(b"\r\n"))
    return tuple(Access(path=path, kinds=frozenset(kinds)) for path, kinds in sorted(log.found.items()))


class _Log:
    """What has been read so far."""

    def __init__(self, cwd: str) -> None:
        self.found: dict[str, set[Kind]] = {}
        self._start = cwd
        self._directories: dict[bytes, str] = {}
        self._begun: dict[tuple[bytes, bytes], bytes] = {}

    def take(self, line: bytes) -> None:
        """Read a line."""
        match = _LINE.match(line)
        if match is None:
            return
        process = match["pid"] or match["bracketed"] or b""
        if match["call"] is None:
            name = match["resumed"]
            rest = self._begun.pop((process, name), b"") + match["tail"]
        else:
            name, rest = match["call"], match["rest"]
            if _UNFINISHED.search(rest):
                self._begun[process, name] = _UNFINISHED.sub(b"", rest)
                return
        result = _RESULT.match(rest)
        if result is not None:
            self._call(process, name, rest, result)

    def _call(self, process: bytes, name: bytes, rest: bytes, result: re.Match[bytes]) -> None:
        if name in _CHILDREN:
            if process in self._directories:
                self._directories[result["number"]] = self._directories[process]
            return
        path, after = self._path(process, rest)
        kind = _kind(name, after.partition(b")")[0])
        if kind is None or path is None:
            return
        if result["number"].startswith(b"-"):
            if any(why in result["why"] for why in _NOT_THERE):
                self._note(path, "missing")
            return
        if result["number"] == b"?":
            return
        self._note(path, kind)
        if name == b"chdir":
            self._directories[process] = path
        if kind == "write" and name not in _OPEN:
            other, _ = self._path(process, after)
            if other is not None and name.startswith((b"rename", b"link")):
                self._note(other, "write")

    def _path(self, process: bytes, rest: bytes) -> tuple[str | None, bytes]:
        """Return the first path that a call names, and what follows it."""
        directory = self._directories.get(process, self._start)
        at = _DIRECTORY.match(rest)
        if at is not None:
            rest = rest[at.end() :]
            if at["path"] is not None:
                directory = _decoded(at["path"])
            elif not at[0].lstrip().startswith(b"AT_FDCWD"):
                directory = ""
        text = _TEXT.match(rest)
        if text is None or text["cut"]:
            return None, b""
        name = _decoded(text["text"])
        # A relative path below a file descriptor that the log does not tell the path of says nothing.
        if not name or not (name.startswith("/") or directory.startswith("/")):
            return None, rest[text.end() :]
        return posixpath.normpath(posixpath.join(directory, name)).replace("//", "/"), rest[text.end() :]

    def _note(self, path: str, kind: Kind) -> None:
        self.found.setdefault(path, set()).add(kind)


def _kind(name: bytes, flags: bytes) -> Kind | None:
    if name in _OPEN:
        if name == b"creat" or _WRITING.search(flags):
            return "write"
        return "list" if b"O_DIRECTORY" in flags else "read"
    if name in _EXECUTE:
        return "execute"
    if name in _CHANGE:
        return "write"
    return "probe" if name in _PROBE else None


def _decoded(text: bytes) -> str:
    """Undo strace's escapes."""

    def one(match: re.Match[bytes]) -> bytes:
        escaped = match[1]
        if escaped[:1] == b"x" and len(escaped) > 1:
            return bytes.fromhex(escaped[1:].decode())
        if escaped[:1].isdigit():
            return bytes([int(escaped, 8) & 0xFF]) if escaped[:1] < b"8" else escaped
        return _LETTERS.get(escaped, escaped)

    return _ESCAPE.sub(one, text).decode(errors="surrogateescape")
