"""Chooses the directories of an image to protect from what a run of its program used. Pure.

A directory that belongs to one thing (``/app``, ``/usr/lib/python3.11``) is chosen as a whole, so that what this run
did not come by is protected too. Directories that everything shares (``/usr/bin``, ``/etc``) are not: what is used
there stays in clear and is told, with a reason, and so is what the program looked for in vain: whoever puts it there
decides what the program loads. Links are followed one by one, because who changes a link changes what is behind it.
"""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from bannock.images.tracing.strace_log import Access
    from bannock.images.tree import Tree

__all__ = ["Choice", "Left", "Protected", "choose"]

#: The kernel's and the engine's own, whatever an image has there.
_NOT_OF_IMAGE: Final = ("/proc", "/sys", "/dev")
_OF_ENGINE: Final = frozenset({"/etc/hosts", "/etc/hostname", "/etc/resolv.conf"})
#: Directories in which the engine has files of its own, so that they cannot be protected as a whole.
_OF_ENGINE_TOO: Final = frozenset({"/", "/etc"})
#: The loader's own lists: they are part of the measurement.
_MEASURED_LISTS: Final = re.compile(r"/etc/(ld\.so\.(cache|preload)|ld-musl-[a-z0-9_]+\.path)")
#: Directories that many things share: what lies directly below one is what is chosen.
_SHARED: Final = frozenset(
    {"/", "/etc", "/home", "/media", "/mnt", "/opt", "/run", "/srv", "/tmp", "/usr", "/usr/local", "/var"}  # noqa: S108
    | {f"/usr/{name}" for name in ("share", "src", "local/etc", "local/share")}
    | {f"/var/{name}" for name in ("cache", "lib", "local", "log", "opt", "spool", "tmp", "www")}
    | {
        f"{prefix}/{name}"
        for prefix in ("", "/usr", "/usr/local")
        for name in ("bin", "sbin", "lib", "lib32", "lib64", "libexec")
    }
)
#: Directories that hold nothing but what is made while programs run.
_PASSING: Final = ("/tmp", "/var/tmp", "/run", "/var/run", "/var/log", "/var/cache")  # noqa: S108
#: Of these, the shared directory itself is chosen where a library is loaded from it: there is none below it to choose.
_LIBRARIES: Final = frozenset({"/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib"})
_CODE: Final = re.compile(r".*\.(py[co]?|pth|so(\.[0-9.]+)?|[cm]?js|json|node|jar|class|rb|pl|pm|php|lua|wasm|R|sh)$")
_LIBRARY: Final = re.compile(r".*\.so(\.[0-9.]+)?$")
#: Python keeps what it compiled of ``name.py`` there.
_COMPILED: Final = re.compile(r"__pycache__/([^/.]+)\.[^/]*$")
_LINKS_MAX: Final = 40
_TOLD: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Protected:
    """A directory to protect.

    Attributes:
        path: without links.
        reason: why, to be told.
        files: how many of its files the program used.
    """

    path: str
    reason: str
    files: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Left:
    """What the program uses, or looked for, and what nothing protects."""

    path: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What to protect of an image, and what stays in clear.

    Attributes:
        directories: sorted by path; none is below another one.
        in_clear: sorted by path.
    """

    directories: tuple[Protected, ...]
    in_clear: tuple[Left, ...]

    def text(self) -> str:
        """Return a line for each directory and for what stays in clear."""
        lines = [f"protected: {one.path}: {one.reason}" for one in self.directories]
        lines += [f"in clear:  {one.path}: {one.reason}" for one in self.in_clear]
        return "\n".join(map(_printable, lines))


def choose(
    accesses: Iterable[Access], tree: Tree, *, measured: Collection[str] = (), covered: Collection[str] = ()
) -> Choice:
    """Choose what to protect.

    Args:
        accesses: what the program used.
        tree: the image.
        measured: canonical paths of files that are part of the measurement: they need no protection.
        covered: directories that are protected already.
    """
    use = _Use(tree, frozenset(measured), tuple(covered))
    for access in accesses:
        if not _is_below(access.path, _NOT_OF_IMAGE):
            use.take(access)
    return use.chosen()


class _Use:
    """What the program used, by the directory that it belongs to."""

    def __init__(self, tree: Tree, measured: frozenset[str], covered: tuple[str, ...]) -> None:
        self._tree, self._measured, self._covered = tree, measured, covered
        self._used: dict[str, set[str]] = {}
        self._searched: dict[str, set[str]] = {}
        self._loose: dict[str, set[str]] = {}
        self._written: dict[str, set[str]] = {}

    def take(self, access: Access) -> None:
        """Note an access."""
        steps = tuple(self._steps(access.path))
        # A link to what is measured may lead elsewhere, but what it leads to is measured then.
        if steps and steps[-1][0] in self._measured:
            return
        for path, is_there in steps:
            if _MEASURED_LISTS.fullmatch(path):
                continue
            if not is_there:
                self._take_missing(path, access)
            elif path in _OF_ENGINE:
                self._loose.setdefault(path, set()).add(path)
            elif access.kinds & {"read", "execute", "list"}:
                self._take_used(path)
            if "write" in access.kinds:
                self._written.setdefault(self._unit(path) or posixpath.dirname(path), set()).add(path)

    def _take_used(self, path: str) -> None:
        unit = self._unit(path)
        if unit is not None:
            self._used.setdefault(unit, set()).add(path)
        elif not self._is_directory(path):
            shared = posixpath.dirname(path)
            if shared in _LIBRARIES and _LIBRARY.fullmatch(path):
                self._used.setdefault(shared, set()).add(path)
            else:
                self._loose.setdefault(path, set()).add(path)

    def _take_missing(self, path: str, access: Access) -> None:
        if access.kinds & {"read", "execute", "list", "write"}:
            return  # made while the program ran
        unit = _unit(path, is_directory=False)
        found = self._tree.find(unit) if unit is not None else None
        if found is not None and found.entry.kind == "directory":
            self._searched.setdefault(found.path, set()).add(path)
        else:
            self._searched.setdefault(posixpath.dirname(unit or path), set()).add(path)

    def chosen(self) -> Choice:
        """Return the choice."""
        reasons = {
            unit: _reason(unit, {file for file in files if not self._is_directory(file)})
            for unit, files in self._used.items()
            if not _is_below(unit, _PASSING)
        }
        for unit, names in self._searched.items():
            if unit not in _SHARED and unit not in reasons:
                reasons[unit] = f"the program looks there for {_some(unit, names)}, and nobody else may put it there"
        tops = _tops(unit for unit in reasons if not _is_below(unit, self._covered))
        kept = (*tops, *self._covered)
        directories = tuple(
            Protected(
                path=top,
                reason=reasons[top],
                files=self._files_below(top),
            )
            for top in tops
        )
        return Choice(directories=directories, in_clear=tuple(sorted(self._left(kept), key=lambda one: one.path)))

    def _files_below(self, top: str) -> int:
        below = {file for unit, files in self._used.items() if _is_below(unit, (top,)) for file in files}
        return sum(not self._is_directory(file) for file in below)

    def _left(self, kept: tuple[str, ...]) -> Iterator[Left]:
        for path in self._loose:
            if not _is_below(path, kept):
                yield Left(path=path, reason=_loose_reason(path))
        for unit, names in self._searched.items():
            outside = {name for name in names if not _is_below(name, kept)}
            if outside:
                yield Left(
                    path=unit,
                    reason=f"the program looks there for {_some(unit, outside)}, in vain: a host that puts it there "
                    f"changes what the program does{_way_out(unit)}",
                )
        for unit, names in self._written.items():
            if not _is_below(unit, kept):
                yield Left(
                    path=unit,
                    reason=f"the program writes {_some(unit, names)} there in clear; "
                    "use --volume for what has to be kept",
                )

    def _steps(self, path: str) -> Iterator[tuple[str, bool]]:
        """Yield a path and, where it leads through links to other ones, those, each with whether the image has it."""
        for _ in range(_LINKS_MAX):
            link = self._first_link(path)
            if link is None:
                found = self._tree.find(path)
                yield (path if found is None else found.path), found is not None
                return
            name, target, rest = link
            yield name, True
            path = posixpath.normpath(posixpath.join(posixpath.dirname(name), target, rest)).replace("//", "/")

    def _first_link(self, path: str) -> tuple[str, str, str] | None:
        """Return the first link on the way: its own path, where it leads to, and what of the way is left."""
        parts = path.strip("/").split("/")
        for count in range(1, len(parts) + 1):
            found = self._tree.find("/" + "/".join(parts[:count]), follow=False)
            if found is None:
                return None
            if found.entry.kind == "symlink":
                return found.path, found.entry.link, "/".join(parts[count:])
        return None

    def _unit(self, path: str) -> str | None:
        return _unit(path, is_directory=self._is_directory(path))

    def _is_directory(self, path: str) -> bool:
        found = self._tree.find(path)
        return found is not None and found.entry.kind == "directory"


def _unit(path: str, *, is_directory: bool) -> str | None:
    """Return the directory that a path belongs to, the first one on the way that is not shared; None if all are."""
    parts = path.strip("/").split("/")
    for count in range(1, len(parts) + is_directory):
        prefix = "/" + "/".join(parts[:count])
        if prefix not in _SHARED:
            return prefix
    return None


def _is_below(path: str, directories: Iterable[str]) -> bool:
    return any(path == one or path.startswith(one.rstrip("/") + "/") for one in directories)


def _tops(units: Iterable[str]) -> tuple[str, ...]:
    found: list[str] = []
    for unit in sorted(units):
        if not _is_below(unit, found):
            found.append(unit)
    return tuple(found)


def _reason(unit: str, files: set[str]) -> str:
    libraries = {file for file in files if _LIBRARY.fullmatch(file)}
    code = {file for file in files if _CODE.fullmatch(file)}
    if libraries and len(libraries) == len(code):
        return f"libraries that are loaded while the program runs: {_some(unit, libraries)}"
    if code:
        return f"code that the program loads: {_some(unit, code)}"
    if not files:
        return "the program lists what is there, and nobody else may add to it"
    return f"files that the program reads: {_some(unit, files)}"


def _some(unit: str, names: set[str]) -> str:
    """Name the first of some paths as seen from a directory, and say how many there are."""
    told = sorted({_COMPILED.sub(r"\1.py", posixpath.relpath(name, unit)) for name in names})
    more = f" and {len(told) - _TOLD} more" if len(told) > _TOLD else ""
    return ", ".join(told[:_TOLD]) + more


def _printable(line: str) -> str:
    """Write what could make two lines of one, or steer a terminal, as an escape: names are the image's."""
    return "".join(
        one
        if one.isprintable()
        else one.encode(errors="surrogateescape").decode("latin-1").encode("unicode_escape").decode()
        for one in line
    )


def _loose_reason(path: str) -> str:
    if path in _OF_ENGINE:
        return "it is the container engine's, and says what the host wants; trust names by certificates alone"
    if posixpath.basename(posixpath.dirname(path)) in {"bin", "sbin", "libexec"}:
        return f"a program that is used and not measured{_way_out(posixpath.dirname(path))}"
    return f"a file in a directory that the whole image shares{_way_out(posixpath.dirname(path))}"


def _way_out(directory: str) -> str:
    return "" if directory in _OF_ENGINE_TOO else f"; --dir {directory} prevents that"
