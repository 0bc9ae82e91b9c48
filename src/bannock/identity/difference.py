"""What differs between two measurement trees, in words. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bannock.identity.settings import shown

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bannock.identity.image import Contents
    from bannock.identity.tree import MeasurementTree

__all__ = ["difference"]


def difference(expected: MeasurementTree, actual: MeasurementTree) -> list[str]:
    """Say what differs, a line each; nothing where the trees are equal."""
    lines = []
    if expected.runtime != actual.runtime:
        lines.append("the runtime is another build")
    if expected.program != actual.program:
        lines.append(f"the program is {actual.program}, expected {expected.program}")
    lines += _changed(expected.files, actual.files)
    # A link to a file that came or went says nothing new.
    told = expected.files.keys() ^ actual.files.keys()
    for name in sorted({*expected.links, *actual.links}):
        wanted, found = expected.links.get(name, name), actual.links.get(name, name)
        if wanted != found and not {wanted, found} & told:
            lines.append(f"{name} leads to {found}, expected {wanted}")
    lines += _changed_images(expected.images, actual.images)
    for name in sorted({*expected.settings, *actual.settings}):
        wanted, found = expected.settings.get(name, ""), actual.settings.get(name, "")
        if wanted != found:
            lines.append(f"{name} {shown(name, found)}, expected {shown(name, wanted)}")
    return lines


def _changed(expected: Mapping[str, object], actual: Mapping[str, object]) -> list[str]:
    lines = []
    for path in sorted({*expected, *actual}):
        if path not in actual:
            lines.append(f"{path} is missing")
        elif path not in expected:
            lines.append(f"{path} added")
        elif expected[path] != actual[path]:
            lines.append(f"{path} changed")
    return lines


def _changed_images(expected: Mapping[str, Contents], actual: Mapping[str, Contents]) -> list[str]:
    """Compare images that are in both trees file by file; that another one is named, a setting says."""
    lines = []
    for path in sorted(expected.keys() & actual.keys()):
        wanted, found = expected[path], actual[path]
        changes = _changed({**wanted.files, **wanted.links}, {**found.files, **found.links})
        for name in sorted({*wanted.host_paths} ^ {*found.host_paths}):
            changes.append(f"{name} is{'' if name in found.host_paths else ' not'} the host's")
        lines += [f"{change} (in {path})" for change in changes]
    return lines
