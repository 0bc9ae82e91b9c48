"""What stays in clear in a protected image, for a person: by directory, and what to look at more closely. Pure."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Final

from bannock.images.sconify.plan import Action

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from bannock.images.sconify.sealing import SealedImage

__all__ = ["in_clear", "unprotected_files"]

#: Trees whose directories are told apart.
_SPLIT: Final = ("usr", "var", "opt", "home", "srv")
_UNITS: Final = (("GB", 10**9), ("MB", 10**6), ("kB", 10**3))


def in_clear(sealed: SealedImage, measured: Collection[str]) -> list[str]:
    """Say what files a container sees in clear, a line for each directory."""
    counts: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    plan = sealed.plan
    kept = _kept(sealed)
    for found in plan.shown.values():
        if found.entry.kind != "file" or (found.layer, found.entry.start) not in kept:
            continue
        if plan.directory_of(found.path) is None or found.path in measured:
            parts = found.path.split("/")[1:-1]
            place = "/" + "/".join(parts[: 2 if parts[:1] and parts[0] in _SPLIT else 1])
            counts[place][0] += 1
            counts[place][1] += found.entry.size
    return [f"{place}: {count:,} files, {_size(size)}" for place, (count, size) in sorted(counts.items())]


def unprotected_files(named: Sequence[str], sealed: SealedImage, measured: Collection[str]) -> list[str]:
    """Return the files that a command names and that anybody with the image could exchange."""
    return [path for path in named if not sealed.plan.is_authentic(path) and path not in measured]


def _kept(sealed: SealedImage) -> set[tuple[int, int]]:
    return {
        (number, entry.start)
        for number, layer in enumerate(sealed.plan.layers)
        for entry, action in layer.entries()
        if action is Action.KEEP
    }


def _size(count: int) -> str:
    for unit, size in _UNITS:
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count} bytes"
