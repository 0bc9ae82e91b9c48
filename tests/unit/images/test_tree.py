"""The files of an image are those that a container sees."""

from __future__ import annotations

import hashlib
import tarfile
from typing import TYPE_CHECKING

import pytest

from bannock.errors import InputError, IntegrityError
from bannock.images.tree import Tree, TreeReader
from tests.unit.images.build import image, item, layer, tar

if TYPE_CHECKING:
    from bannock.images.blobs import Scratch


def _tree(scratch: Scratch, *layers: dict[str, bytes | tarfile.TarInfo | None]) -> Tree:
    return Tree.of(image(*(layer(tar(files), scratch, "gzip") for files in layers)))


def _link(name: str, target: str) -> tarfile.TarInfo:
    return item(name, tarfile.SYMTYPE, link=target)


def _paths(tree: Tree, prefix: str = "/") -> list[str]:
    return [found.path for found in tree.walk(prefix)]


def test_upper_layers_win(scratch: Scratch) -> None:
    """A file of an upper layer hides that of a lower one, which can still be found."""
    tree = _tree(scratch, {"etc": None, "etc/a": b"old", "etc/b": b"b"}, {"etc/a": b"new"})
    assert tree.read("/etc/a") == b"new"
    assert _paths(tree) == ["/", "/etc", "/etc/a", "/etc/b"]
    assert [(number, entry.path) for number, entry in tree.under("/etc/a")] == [(0, "etc/a"), (1, "etc/a")]
    assert [number for number, _ in tree.under("/")] == [0, 0, 0, 1]
    assert not list(tree.under("/et"))


def test_what_is_taken_away(scratch: Scratch) -> None:
    """Whiteouts take away what is below, wherever in the layer they stand, and nothing of their own layer."""
    tree = _tree(
        scratch,
        {"a/1": b"", "a/2": b"", "b/1": b"", "c": b"", "d/x/y": b""},
        {"a/3": b"", "a/.wh..wh..opq": b"", "b/.wh.1": b"", ".wh.c": b"", "c": b"again", ".wh.nothing/.wh.x": b""},
        {".wh.d": b"", "b/.wh..wh.orph": b"", "gone/.wh..wh..opq": b""},
    )
    assert _paths(tree) == ["/", "/a", "/a/3", "/b", "/c"]
    assert tree.read("/c") == b"again"


def test_file_in_place_of_a_directory(scratch: Scratch) -> None:
    """What changes its kind loses what was below it; a directory that is named again keeps it."""
    tree = _tree(scratch, {"a/b": b"", "c/d": b""}, {"a": b"", "c": None})
    assert _paths(tree) == ["/", "/a", "/c", "/c/d"]


def test_links_stay_in_the_image(scratch: Scratch) -> None:
    """Links are followed as in a container: the root of the image is as far as they lead."""
    tree = _tree(
        scratch,
        {
            "usr/lib/x": b"content",
            "lib": _link("lib", "usr/lib"),
            "abs": _link("abs", "/lib"),
            "out": _link("out", "../../../usr/lib/x"),
            "usr/up": _link("usr/up", "../abs/x"),
            "circle": _link("circle", "circle"),
            "dangling": _link("dangling", "/nowhere"),
        },
    )
    for path in ("/lib/x", "abs/x", "/out", "/usr/up", "//usr/./lib/../lib/x", "/../../usr/lib/x"):
        found = tree.find(path)
        assert found is not None
        assert found.path == "/usr/lib/x"
    assert tree.read("/usr/up") == b"content"
    assert _paths(tree, "/abs") == ["/usr/lib", "/usr/lib/x"]
    assert tree.find("/circle") is tree.find("/dangling") is tree.find("/usr/lib/x/y") is None
    unfollowed = tree.find("/abs", follow=False)
    assert unfollowed is not None
    assert unfollowed.entry.link == "/lib"
    assert not _paths(tree, "/nowhere")


def test_hard_links(scratch: Scratch) -> None:
    """A hard link has the content of the file it was linked to, also when that is replaced later."""
    tree = _tree(
        scratch,
        {"a": b"first", "b": item("b", tarfile.LNKTYPE, link="a"), "c": item("c", tarfile.LNKTYPE, link="b")},
        {"a": b"second"},
    )
    assert tree.read("/b") == tree.read("/c") == b"first"
    found = tree.find("/c")
    assert found is not None
    assert (found.entry.path, found.own.path) == ("a", "c")


@pytest.mark.parametrize(
    "upper",
    [
        {"lib/evil": b""},
        {"out/evil": b""},
        {"file/evil": b""},
        {"hard": item("hard", tarfile.LNKTYPE, link="nowhere")},
        {"hard": item("hard", tarfile.LNKTYPE, link="usr")},
    ],
    ids=lambda files: next(iter(files)),
)
def test_what_engines_do_not_agree_on(upper: dict[str, bytes | tarfile.TarInfo | None], scratch: Scratch) -> None:
    """Files below links, which one engine follows and another one replaces, are refused."""
    lower: dict[str, bytes | tarfile.TarInfo | None] = {
        "usr/lib/x": b"",
        "lib": _link("lib", "usr/lib"),
        "out": _link("out", "/.."),
        "file": b"",
    }
    with pytest.raises(IntegrityError):
        _tree(scratch, lower, upper)


def test_reading_what_is_no_file(scratch: Scratch) -> None:
    """Directories, devices and what is too large are named."""
    tree = _tree(scratch, {"etc/a": b"12345", "null": item("null", tarfile.CHRTYPE)})
    for path in ("/etc", "/null", "/nothing"):
        with pytest.raises(InputError, match="no file"):
            tree.read(path)
    with pytest.raises(InputError, match="larger than the 4"):
        tree.read("/etc/a", limit=4)


def test_sparse_files(scratch: Scratch) -> None:
    """A file that was written without its holes is not taken for its content."""
    info = item("a")
    info.pax_headers = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": "real"}
    tree = _tree(scratch, {"a": info})
    with pytest.raises(InputError, match="sparse"):
        tree.open("/real")


def test_reader(scratch: Scratch) -> None:
    """A measurement finds programs in an image as it finds them on a machine."""
    reader = TreeReader(_tree(scratch, {"usr/bin/python3.11": b"\x7fELF", "bin": _link("bin", "usr/bin")}))
    assert reader.resolve("/bin/python3.11") == "/usr/bin/python3.11"
    assert reader.exists("/bin/python3.11")
    assert not reader.exists("/bin")
    assert reader.read("/bin/python3.11", 1, 2) == b"EL"
    assert reader.digest("/bin/python3.11") == (hashlib.sha256(b"\x7fELF").digest(), 4)
    with pytest.raises(InputError):
        reader.resolve("/bin/python2")
