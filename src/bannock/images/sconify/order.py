"""The order of the layers of a protected image: what changes seldom lies below what changes often. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bannock.identity.layout import LAYER_ROOT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bannock.images.model import Layer

__all__ = ["ordered"]


def ordered(
    native: Sequence[Layer], added: Sequence[Layer], programs: Sequence[Layer], *, steady: int | None, program: str
) -> list[Layer]:
    """Put the layers in order.

    Engines have a layer once for all images that have the same layers below it. So what is the same each time goes
    under the layers of the application, as long as these leave its paths alone.

    Args:
        native: of the native image, the lowest first.
        added: the runtime, and what is only below its directory; the last one changes with the application.
        programs: the one with the launcher, and perhaps one with the signature over everything.
        steady: how many of the native ones change seldom; None: all is put on top.
        program: path of the program.
    """
    if steady is None or steady >= len(native) or _touched(native[steady:], program):
        return [*native, *added, *programs]
    *below, own = added
    launcher, *signature = programs
    return [*native[:steady], *below, launcher, *native[steady:], own, *signature]


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
