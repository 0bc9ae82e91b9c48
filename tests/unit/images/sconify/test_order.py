"""The order of layers: what changes seldom lies below, unless the application has something there itself."""

from __future__ import annotations

import tarfile
from typing import TYPE_CHECKING, Any

import pytest

from bannock.images.sconify.options import Places
from bannock.images.tree import Tree
from tests.unit.images.build import item
from tests.unit.images.sconify.native import CODE, converted, native, program

if TYPE_CHECKING:
    from pathlib import Path

    from bannock.images.blobs import Scratch
    from bannock.images.sconify.conversion import Converted

_PLACES = Places(image_directories=("/usr",), own_directories=("/app",))


def _converted(scratch: Scratch, directory: Path, *more: dict[str, Any], **config: Any) -> Converted:
    """Convert an image of whose layers the lowest is the base."""
    image = native(scratch, *more, env=(("PATH", "/usr/bin"),), history=(), **config)
    return converted(image, scratch, directory, places=_PLACES, binary_fs=True, steady=1)


def _layers(made: Converted) -> list[str]:
    return [layer.diff_id for layer in made.image.layers]


def test_only_what_changes_is_other(scratch: Scratch, tmp_path: Path) -> None:
    """A changed file of the application changes one layer, with its small layers and its image, and nothing below."""
    first = _converted(scratch, tmp_path)
    second = _converted(scratch, tmp_path, {"app/server.py": b"other code\n"})
    same = [ours == theirs for ours, theirs in zip(_layers(first), _layers(second), strict=False)]
    # The base, the runtime, the image of the system, the launcher, and the application's first layer are as they were.
    assert same == [*[True] * 5, False]
    assert first.started.measurement != second.started.measurement
    assert dict(first.image.config.env)["SCONE_EXTENSIONS_PATH"] == (
        "/opt/bannock/image/libbinary-fs.so:/opt/bannock/image/libown-fs.so"
    )
    tree = Tree.of(first.image)
    assert tree.read("/app/server.py") == CODE
    assert tree.read("/usr/bin/serve").startswith(b"#!")
    assert CODE in tree.read("/opt/bannock/image/libown-fs.so")
    assert CODE not in tree.read("/opt/bannock/image/libbinary-fs.so")


def test_what_is_measured_does_not_depend_on_the_order(scratch: Scratch, tmp_path: Path) -> None:
    """The same files give the same MRENCLAVE, wherever their layers are."""
    image = native(scratch, env=(("PATH", "/usr/bin"),), history=())
    above = converted(image, scratch, tmp_path, places=_PLACES, binary_fs=True)
    assert above.started.measurement == _converted(scratch, tmp_path).started.measurement
    assert _layers(above)[:2] == [layer.diff_id for layer in image.layers]


@pytest.mark.parametrize(
    "more",
    [
        {"usr/bin/serve": item("usr/bin/serve", tarfile.SYMTYPE, link="/usr/bin/other"), "usr/bin/other": program()},
        {"opt/.wh.bannock": b""},
        {".wh.opt": b""},
        {"opt/bannock/programs/usr/bin/serve": b"another program"},
    ],
)
def test_an_application_that_has_something_there_is_put_below(
    scratch: Scratch, tmp_path: Path, more: dict[str, Any]
) -> None:
    """The launcher, the program and the runtime are what a container sees, whatever the native image does."""
    made = _converted(scratch, tmp_path, more)
    tree = Tree.of(made.image)
    assert tree.find("/opt/bannock/bin/launch") is not None
    found = tree.find("/usr/bin/serve")
    assert found is not None
    assert tree.read(found.path).startswith(b"#!")
    assert tree.read(f"/opt/bannock/programs{found.path}").startswith(b"\x7fELF")
