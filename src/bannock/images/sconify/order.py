"""The order of the layers of a protected image: what changes seldom lies below what changes often. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from bannock.identity.layout import LAYER_ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bannock.images.model import Layer
    from bannock.images.tar import Entry

__all__ = ["is_untouched", "small_on_top"]

_SMALL_BYTES: Final = 1 << 20


def is_untouched(layers: Sequence[Layer], program: str) -> bool:
    """Whether the runtime and the launcher may lie below layers: these leave their paths alone.

    Engines have a layer once for all images that have the same layers below it. So what is the same each time goes
    under the layers of the application.

    Args:
        layers: of the native image.
        program: path of the program.
    """
    return not _touched(layers, program)


def small_on_top(layers: Sequence[Layer]) -> int:
    """Count the uppermost layers that can become one with what is put on top of them.

    For an engine, a small layer is as much work as a large one. Only what adds files and directories is taken, since
    what takes something away has a meaning for the layers below it.
    """
    count = 0
    above: set[str] = set()
    for layer in reversed(layers):
        entries = layer.entries()
        plain = all(entry.path and entry.kind in {"file", "directory", "symlink"} for entry in entries)
        if layer.size > _SMALL_BYTES or not plain or _is_replaced(entries, above):
            break
        above |= {entry.path for entry in entries if entry.kind != "directory"}
        count += 1
    return count


def _is_replaced(entries: Sequence[Entry], above: set[str]) -> bool:
    """Whether a layer above has a file where this one has a directory."""
    directories = {entry.path.rpartition("/")[0] for entry in entries}
    directories |= {entry.path for entry in entries if entry.kind == "directory"}
    return any(directory in above for path in directories for directory in _with_parents(path))


def _with_parents(path: str) -> Iterator[str]:
    while path:
        yield path
        path = path.rpartition("/")[0]


def _touched(layers: Sequence[Layer], program: str) -> bool:
    """Whether layers have, or take away, what has to be seen of layers below them."""
    kept = [path.removeprefix("/") for path in (LAYER_ROOT, program)]
    for layer in layers:
        for entry in layer.entries():
            if not entry.path and entry.kind == "opaque":
                return True
            if any(entry.path == path or entry.path.startswith(f"{path}/") for path in kept):
                return True
            if entry.kind != "directory" and any(f"{path}/".startswith(f"{entry.path}/") for path in kept):
                return True
    return False
