"""Whether a process is the runtime: the interpreter and the code of this installation, started as it is meant to be.

Looked at is what the kernel shows of the process: its program, every file that code is mapped from, who traces it, and
how it was started. That refuses another program, an interpreter with code of somebody else in it (a preloaded library,
a path of the caller's, a script), and a process that is looked into.

The limits, which docs/platforms.md tells users too: words and environment of a process are in its own memory, and
Python code is data for the kernel. Whoever may run programs in the machine as the same user, and sets out to, can have
the interpreter of this installation do something else and still look like this. So the machine is what is trusted on
platforms that vouch for machines, and a LAS is for those who may start services on it.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
import sys
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from bannock.errors import DeniedError, InputError
from bannock.identity import elf

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from bannock.las.process import PeerProcess

__all__ = ["Installation", "start_reasons"]

#: What the kernel maps into every process itself (arch/*/kernel/vdso.c).
_KERNEL_MAPS: Final = frozenset({"[vdso]", "[vsyscall]", "[vectors]", "[sigpage]"})
_DELETED: Final = " (deleted)"
#: The C library loads these by what /etc/nsswitch.conf says (nss(5)); no file names them.
_NAME_SERVICES: Final = re.compile(r"lib(nss_[a-z0-9_]+|resolv)([-.][0-9.]+)?\.so(\.[0-9]+)*")
#: Words before the program that change nothing but what is printed and compiled (python(1)); -I, -s and -P say more.
_FLAGS: Final = re.compile(r"-[IsEPBbuOS]+")
_PROGRAMS: Final = {"bannock": "bannock.cli.bannock", "scone": "bannock.cli.scone"}
#: In an image, the kernel calls it with the path of a program whose place it has (bannock.identity.layout).
_LAUNCHER: Final = "launch"
#: What of an installation stands for something that a LAS reports on: a service, and a CAS.
_RUN: Final = ("run",)
_CAS: Final = ("cas", "serve")
#: The library that TLS listeners come by makes the code by which OpenSSL calls back in memory that can be written
#: (libffi, closures). A runtime has no listener.
_CALLBACK_BYTES: Final = 64 << 10
#: Variables of the interpreter and of the loader that change nothing about which code runs.
_HARMLESS: Final = frozenset(
    {
        "PYTHONUNBUFFERED", "PYTHONDONTWRITEBYTECODE", "PYTHONUTF8", "PYTHONIOENCODING", "PYTHONHASHSEED",
        "PYTHONFAULTHANDLER", "PYTHONNOUSERSITE", "PYTHONSAFEPATH", "PYTHONOPTIMIZE", "LD_BIND_NOW",
    }
)  # fmt: skip
_SUSPECT: Final = ("LD_", "PYTHON")
_NAMES_MAX: Final = 5
_PATHS: Final = ("stdlib", "platstdlib", "purelib", "platlib")
_LIBRARY_DIRECTORIES: Final = (
    "/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu", "/lib/aarch64-linux-gnu", "/usr/lib/aarch64-linux-gnu",
    "/lib64", "/usr/lib64", "/lib", "/usr/lib",
)  # fmt: skip
_WRITABLE: Final = stat.S_IWGRP | stat.S_IWOTH


class _Mapping(NamedTuple):
    """A line of /proc/PID/maps (proc(5)) that code may run from."""

    range: str
    flags: str
    device: int
    inode: int
    path: str

    @property
    def size(self) -> int:
        start, end = (int(part, 16) for part in self.range.split("-"))
        return end - start


class _Library(NamedTuple):
    names: frozenset[str]
    needed: tuple[str, ...]


class Installation:
    """The files of this installation that a runtime's code comes from; may be used from any thread."""

    def __init__(self) -> None:
        standard = {sysconfig.get_path(name) for name in _PATHS}
        self._directories = tuple(
            sorted(f"{Path(path).resolve()}/" for path in {*sys.path, *standard} if _is_ours(path))
        )
        # Where this program's own libraries are, others of the runtime are too; and where distributions have them.
        own = {
            mapping.path: (mapping.device, mapping.inode)
            for mapping in _executable(Path("/proc/self/maps"))
            if mapping.inode
        }
        self._own = own
        self._places = frozenset(
            {*(str(Path(path).parent) for path in own), *(str(Path(path).resolve()) for path in _LIBRARY_DIRECTORIES)}
        )
        self._libraries: dict[tuple[str, int, int, int], _Library] = {}

    def require_runtime(self, process: PeerProcess) -> None:
        """Refuse a process that is not the runtime of this installation.

        Raises:
            DeniedError: it is not; every reason that was found is in its reasons.
        """
        directory = Path(f"/proc/{process.number}")
        try:
            words, environment = _started(directory)
            callbacks = _CALLBACK_BYTES if _verb_of(words) == _CAS else 0
            reasons = [
                *_tracing(directory),
                *self._code(directory, callbacks),
                *start_reasons(words, environment),
            ]
        except OSError as error:
            process.require_alive()
            raise DeniedError(
                f"process {process.number} cannot be looked into: {(error.strerror or str(error)).lower()}",
                hint="run the LAS as root, or as the user who runs the enclave",
            ) from error
        process.require_alive()
        if reasons:
            raise DeniedError(
                f"process {process.number} is not the runtime of this installation: {reasons[0]}",
                reasons=reasons[1:],
                hint="start services with `bannock run` of the installation that the LAS is of",
            )

    def _code(self, directory: Path, callbacks: int) -> Iterator[str]:
        """Find code that is not this installation's, but for some bytes that are made for callbacks."""
        if not _same_file(directory / "exe", Path("/proc/self/exe")):
            yield f"it runs {(directory / 'exe').readlink()}, expected {Path(sys.executable).resolve()}"
            return
        mapped = _executable(directory / "maps")
        yield from _foreign(mapped, callbacks)
        files = {mapping.path.removesuffix(_DELETED): mapping for mapping in mapped if mapping.inode}
        ours = {path for path, mapping in files.items() if self._is_ours(path, mapping, directory)}
        yield from _shown("code is loaded that this installation has not got there: ", files.keys() - ours)
        program = str((directory / "exe").readlink())
        found = {path: self._library(path) for path in ours}
        roots = {path for path in ours if path == program or path.startswith(self._directories)}
        yield from _shown("code is loaded that the runtime has no use for: ", ours - roots - _reached(roots, found))

    def _is_ours(self, path: str, mapping: _Mapping, directory: Path) -> bool:
        if not path.startswith(self._directories) and str(Path(path).parent) not in self._places:
            return False
        # On some file systems (overlayfs, btrfs) a mapping tells another device than stat(2); but always the same one.
        return self._own.get(path) == (mapping.device, mapping.inode) or _is_same(path, mapping, directory)

    def _library(self, path: str) -> _Library:
        status = Path(path).stat()
        key = path, status.st_dev, status.st_ino, status.st_mtime_ns
        if key not in self._libraries:
            self._libraries[key] = _parsed(path)
        return self._libraries[key]


def start_reasons(words: Sequence[str], environment: Mapping[str, str]) -> Iterator[str]:
    """Say what speaks against a process having been started as a runtime or a CAS of this installation."""
    loading = [name for name in environment if name.startswith(_SUSPECT) and name not in _HARMLESS]
    yield from _shown("its environment changes which code is loaded: ", loading)
    flags, rest = _split(words[1:])
    script = rest[:1] != ["-m"]
    if _verb_of(words) is None:
        yield "it was not started as `bannock run`"
        return
    # A venv has no directory of its user's for modules, unless it was made to have one (site, ENABLE_USER_SITE).
    in_venv = sys.prefix != sys.base_prefix and words[0] == sys.executable
    if not ("I" in flags or "s" in flags or environment.get("PYTHONNOUSERSITE") or in_venv):
        yield "it takes modules from its user's directory: start it in a virtual environment, or with `python -I`"
    if not ("I" in flags or "P" in flags or environment.get("PYTHONSAFEPATH") or script):
        yield "it takes modules from the directory that it was started in: start it with `python -I`"


def _verb_of(words: Sequence[str]) -> tuple[str, ...] | None:
    """Return what of this installation was started; None for nothing that a LAS reports on."""
    _, rest = _split(words[1:])
    if rest[:1] == ["-m"]:
        program, verb = rest[1:2], rest[2:]
        known = program and program[0] in _PROGRAMS.values()
    else:
        program, verb = rest[:1], rest[1:]
        known = program and _is_our_script(program[0])
        if known and Path(program[0]).name == _LAUNCHER:
            return _RUN
    return next((wanted for wanted in (_RUN, _CAS) if known and tuple(verb[: len(wanted)]) == wanted), None)


def _split(words: Sequence[str]) -> tuple[str, list[str]]:
    """Split the interpreter's own flags off; any that is not known ends them, and so the rest is no program."""
    flags, rest = "", list(words)
    while rest and _FLAGS.fullmatch(rest[0]):
        flags += rest.pop(0)[1:]
    return flags, rest


def _is_our_script(path: str) -> bool:
    name = Path(path).name
    ours = Path(sysconfig.get_path("scripts")) / name
    return name in (*_PROGRAMS, _LAUNCHER) and Path(path) == ours and ours.is_file()


def _is_ours(path: str) -> bool:
    """Whether a directory of modules is there, and nobody writes to it but who installs."""
    try:
        status = Path(path).stat()
    except OSError:
        return False
    return bool(path) and stat.S_ISDIR(status.st_mode) and not status.st_mode & _WRITABLE


def _tracing(directory: Path) -> Iterator[str]:
    status = (directory / "status").read_text(encoding="utf-8", errors="replace")
    tracers = [line.split(":", 1)[1].strip() for line in status.splitlines() if line.startswith("TracerPid:")]
    if tracers != ["0"]:
        yield f"process {', '.join(tracers)} traces it"


def _started(directory: Path) -> tuple[list[str], dict[str, str]]:
    words = os.fsdecode((directory / "cmdline").read_bytes()).split("\0")[:-1]
    entries = os.fsdecode((directory / "environ").read_bytes()).split("\0")
    environment = {name: value for name, equals, value in (entry.partition("=") for entry in entries) if equals}
    return words or [""], environment


def _executable(maps: Path) -> list[_Mapping]:
    found = []
    for line in os.fsdecode(maps.read_bytes()).splitlines():
        fields = line.split(maxsplit=5)
        if "x" in fields[1]:
            major, minor = (int(part, 16) for part in fields[3].split(":"))
            path = fields[5] if len(fields) == 6 else ""  # noqa: PLR2004 - the columns of proc(5)
            found.append(_Mapping(fields[0], fields[1], os.makedev(major, minor), int(fields[4]), path))
    return found


def _foreign(mapped: Iterable[_Mapping], callbacks: int) -> Iterator[str]:
    for mapping in mapped:
        if "w" in mapping.flags and not mapping.inode and mapping.size <= callbacks:
            callbacks -= mapping.size
        elif "w" in mapping.flags:
            yield f"it can change its code at {mapping.range}"
        elif not mapping.inode and mapping.path not in _KERNEL_MAPS:
            yield f"it has code at {mapping.range} that comes from no file"


def _is_same(path: str, mapping: _Mapping, directory: Path) -> bool:
    """Whether what is mapped is what this installation has at that path."""
    try:
        status = Path(path).stat()
        if (status.st_dev, status.st_ino) == (mapping.device, mapping.inode):
            return True
        seen = directory / "map_files" / mapping.range
        try:
            return _same_file(seen, Path(path))
        except PermissionError:
            # It takes CAP_CHECKPOINT_RESTORE. By its path the file may be another one, which its inode tells.
            named = Path(f"{directory}/root{path}")
            status = named.stat()
            if (status.st_dev, status.st_ino) == (mapping.device, mapping.inode):
                return _same_file(named, Path(path))
            raise DeniedError(
                f"{path} is loaded by a process, and this service may not look at what is loaded",
                hint="give the LAS the right CAP_CHECKPOINT_RESTORE, or run it as root",
            ) from None
    except (FileNotFoundError, NotADirectoryError):
        return False


def _same_file(one: Path, other: Path) -> bool:
    first, second = one.stat(), other.stat()
    if (first.st_dev, first.st_ino) == (second.st_dev, second.st_ino):
        return True
    return first.st_size == second.st_size and _digest(one) == _digest(other)


def _digest(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


def _parsed(path: str) -> _Library:
    with Path(path).open("rb") as file:
        try:
            parsed = elf.parse(lambda offset, size: os.pread(file.fileno(), size, offset))
        except InputError:
            return _Library(frozenset({Path(path).name}), ())
    loader = (Path(parsed.interpreter).name,) if parsed.interpreter else ()
    names = {Path(path).name, *([parsed.soname] if parsed.soname else [])}
    return _Library(frozenset(names), (*loader, *(Path(name).name for name in parsed.needed)))


def _reached(roots: Collection[str], found: Mapping[str, _Library]) -> set[str]:
    """Return the libraries that some files need, and theirs; with those that the C library loads by itself."""
    by_name = {name: path for path, library in found.items() for name in library.names}
    reached = {path for path in found if _NAME_SERVICES.fullmatch(Path(path).name)}
    waiting = [*roots, *reached]
    while waiting:
        for name in found[waiting.pop()].needed:
            path = by_name.get(name)
            if path is not None and path not in reached:
                reached.add(path)
                waiting.append(path)
    return reached


def _shown(what: str, names: Collection[str]) -> Iterator[str]:
    """Say a few of many names."""
    if names:
        few = sorted(names)[:_NAMES_MAX]
        more = f" and {len(names) - len(few)} more" if len(names) > len(few) else ""
        yield what + ", ".join(repr(name)[1:-1] for name in few) + more
