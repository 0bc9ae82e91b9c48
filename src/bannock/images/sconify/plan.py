"""What becomes of each entry of an image's layers, before anything is written. Pure but for reading the image.

An entry that no container would see any more is not kept where it was protected: what was removed from a protected
directory in a later step of the build is still in the layer of the earlier one.
"""

from __future__ import annotations

import posixpath
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Final

from bannock.errors import InputError
from bannock.identity.measured import start_of
from bannock.images.sconify.options import ENGINE_FILES
from bannock.images.tree import Tree, TreeReader

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from bannock.identity.measured import Start
    from bannock.images.model import Image, Layer
    from bannock.images.sconify.options import SconifyOptions
    from bannock.images.tar import Entry
    from bannock.images.tree import Found

__all__ = ["Action", "LayerPlan", "Plan", "plan_image"]

#: As many as the kernel follows.
_LINKS_MAX: Final = 40


class Action(Enum):
    """What is done with an entry."""

    KEEP = "keep"
    SEAL = "seal"
    DROP = "drop"


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerPlan:
    """What is done with a layer.

    Attributes:
        layer: as it is.
        actions: what is done with each of its entries, in their order; empty: the layer stays byte for byte.
    """

    layer: Layer
    actions: tuple[Action, ...] = ()

    def entries(self) -> Iterator[tuple[Entry, Action]]:
        """Yield the entries, and what is done with each."""
        actions = self.actions or (Action.KEEP,) * len(self.layer.entries())
        return zip(self.layer.entries(), actions, strict=True)

    @property
    def changed(self) -> bool:
        """Whether the layer is rewritten."""
        return bool(self.actions)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is done with an image.

    Attributes:
        tree: what a container of it sees.
        shown: the same by paths, each directory before what is in it.
        start: what decides how the program starts.
        measured: paths that are in clear also in encrypted directories, since they are measured: what decides how the
            program starts, and the links that lead there.
        directories: canonical paths of the directories that are encrypted, none of them in another one.
        authenticated: canonical paths of the directories whose files stay as they are, and are recorded.
        ephemeral: paths of the directories that are in memory.
        layers: what is done with each layer.
        notes: what to tell a person.
    """

    tree: Tree
    shown: Mapping[str, Found]
    start: Start
    measured: frozenset[str]
    directories: tuple[str, ...]
    authenticated: tuple[str, ...]
    ephemeral: tuple[str, ...]
    layers: tuple[LayerPlan, ...]
    notes: tuple[str, ...]

    def directory_of(self, path: str) -> str | None:
        """Return the encrypted directory that an absolute path is in; None if it is in none."""
        return next((directory for directory in self.directories if _below(path, directory)), None)

    def is_authentic(self, path: str) -> bool:
        """Whether an absolute path is in a directory that is encrypted or authenticated."""
        return any(_below(path, directory) for directory in (*self.directories, *self.authenticated))

    def authenticated_entries(self, directory: str) -> Iterator[Found]:
        """Yield what is in an authenticated directory, but for what other regions have, and engines write."""
        regions = {*self.directories, *self.authenticated, *self.ephemeral} - {directory}
        within = [region for region in regions if _below(region, directory)]
        for found in self.tree.walk(directory):
            if found.path not in ENGINE_FILES and not any(
                _below(found.path, region) and found.path != region for region in within
            ):
                yield found

    def authenticated_files(self, directory: str) -> Iterator[Found]:
        """Yield the files of an authenticated directory."""
        return (found for found in self.authenticated_entries(directory) if found.entry.kind == "file")


def plan_image(image: Image, options: SconifyOptions, base: Image | None = None, tree: Tree | None = None) -> Plan:
    """Decide what is done with each entry.

    Args:
        image: the native image.
        options: what is asked for.
        base: the image that the result is made on, instead of the native one's own files.
        tree: files of the image, where they are known.

    Raises:
        InputError: a path that is named is not in the image, or cannot be protected.
        IntegrityError: a layer is not what it has to be.
    """
    tree = tree or Tree.of(image)
    reader = TreeReader(tree)
    _require_file(tree, options.binary, "--binary")
    start = start_of(options.binary, reader)
    notes: list[str] = []
    places = options.places
    directories = _directories(tree, "--dir", places.directories, notes)
    measured = frozenset(_measured(tree, start))
    kept = None if base is None else _Kept(tree, options, measured, directories)
    shown = {found.path: found for found in tree.walk("/")}
    return Plan(
        tree=tree,
        shown=shown,
        start=start,
        measured=measured,
        directories=directories,
        authenticated=_directories(tree, "--authenticate", places.authenticated, notes),
        ephemeral=tuple(sorted(set(places.ephemeral))),
        layers=_decided(tree.layers, shown, directories, measured, kept, notes),
        notes=tuple(notes),
    )


def _measured(tree: Tree, start: Start) -> Iterator[str]:
    yield from start.files
    for name in start.links:
        path = name
        for _ in range(_LINKS_MAX):
            directory, _, last = path.rpartition("/")
            above = tree.find(directory)
            if above is None:
                break
            path = f"{above.path.rstrip('/')}/{last}"
            yield path
            found = tree.find(path, follow=False)
            if found is None or found.entry.kind != "symlink":
                break
            path = posixpath.join(above.path, found.entry.link)


def _require_file(tree: Tree, path: str, option: str) -> None:
    found = tree.find(path)
    if found is None or found.entry.kind != "file":
        raise InputError(
            f"{option} {path}: there is no such file in the image",
            hint="name the path that it has in the image; docker run --rm IMAGE which NAME tells it",
        )


def _directories(tree: Tree, option: str, named: Sequence[str], notes: list[str]) -> tuple[str, ...]:
    found: set[str] = set()
    for path in named:
        there = tree.find(path)
        if there is None:
            if option != "--dir" or not any(True for _ in tree.under(path)):
                raise InputError(
                    f"{option} {path}: the image has no such directory",
                    hint="leave it out, or look at what the image has: docker run --rm IMAGE ls /",
                )
            notes.append(f"{path} is in lower layers alone, and is taken out of them")
            found.add(path)
        elif there.entry.kind != "directory":
            raise InputError(f"{option} {path}: it is a {there.entry.kind} in the image, and no directory")
        else:
            found.add(there.path)
    return tuple(sorted(path for path in found if not any(_below(path, other) for other in found - {path})))


def _below(path: str, directory: str) -> bool:
    return path == directory or path.startswith(f"{directory.rstrip('/')}/")


class _Kept:
    """What of the native image comes into one that is made on another base."""

    def __init__(
        self, tree: Tree, options: SconifyOptions, measured: frozenset[str], directories: tuple[str, ...]
    ) -> None:
        plain = options.places
        found = [tree.find(path) for path in (*plain.plain_directories, *plain.plain_files)]
        self._prefixes = (*directories, *(each.path for each in found if each is not None))
        self._paths = measured

    def __contains__(self, path: str) -> bool:
        return path in self._paths or any(_below(path, prefix) for prefix in self._prefixes)


def _decided(
    layers: Sequence[Layer],
    shown: Mapping[str, Found],
    directories: tuple[str, ...],
    clear: frozenset[str],
    kept: _Kept | None,
    notes: list[str],
) -> tuple[LayerPlan, ...]:
    plans = []
    for layer in layers:
        actions = []
        for entry in layer.entries():
            path = f"/{entry.path}"
            if kept is not None and path not in kept and entry.kind != "directory":
                actions.append(Action.DROP)
            elif not any(_below(path, directory) for directory in directories) or path in clear:
                actions.append(_plain_action(entry, path, directories, clear, kept))
            else:
                actions.append(_protected_action(entry, path, shown.get(path), notes))
        changed = any(action is not Action.KEEP for action in actions)
        plans.append(LayerPlan(layer=layer, actions=tuple(actions) if changed else ()))
    return tuple(plans)


def _plain_action(
    entry: Entry, path: str, directories: tuple[str, ...], clear: frozenset[str], kept: _Kept | None
) -> Action:
    """Decide on an entry that is not encrypted."""
    if entry.kind == "hardlink":
        target = f"/{entry.link}"
        if target not in clear and any(_below(target, directory) for directory in directories):
            raise InputError(
                f"{path} is a hard link to {target}, which is to be encrypted, and {path} is not",
                hint=f"encrypt both (--dir {path.rpartition('/')[0] or '/'}), or make it a copy or a symbolic link",
            )
    if kept is not None and entry.kind in {"whiteout", "opaque", "ignored"}:
        return Action.DROP
    return Action.KEEP


def _protected_action(entry: Entry, path: str, found: Found | None, notes: list[str]) -> Action:
    """Decide on an entry in an encrypted directory."""
    if entry.kind == "directory":
        return Action.KEEP if found is not None and found.own.kind == "directory" else Action.DROP
    if found is None or found.own is not entry or entry.kind == "symlink":
        # A link's target is in the protection file.
        return Action.DROP
    if entry.kind not in {"file", "hardlink"}:
        notes.append(f"{path} is a {entry.kind}, which is not kept in an encrypted directory")
        return Action.DROP
    return Action.SEAL
