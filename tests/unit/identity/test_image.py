"""File-system images as they are measured: their list in its one form, and what it stands for in MRENCLAVE."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bannock.errors import InputError
from bannock.identity.difference import difference
from bannock.identity.image import CONTENTS_BYTES_MAX, HEAD_BYTES, Contents, ImageFile, read_contents
from bannock.identity.manifest import EnclaveManifest
from bannock.identity.measure import measure
from bannock.identity.settings import image_paths, normal_settings
from tests.unit.identity.elves import MemoryReader, elf
from tests.unit.identity.images import contents, image_head

if TYPE_CHECKING:
    from bannock.identity.tree import MeasurementTree

_IMAGE: Final = "/lib/libbinary-fs.so"
_FILES: Final = {"/python/print_env.py": b"import os\n", "/python/größe.py": b""}
_LIST: Final = contents(_FILES, {"/python/link": "print_env.py"}, ["/etc/hosts"])

_digests = st.binary(min_size=32, max_size=32)
_names = st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1, max_size=8).filter(
    lambda name: name not in (".", "..")
)
_lists = st.builds(
    lambda files, links, host_paths: Contents(
        files={f"/f/{name}": file for name, file in files.items()},
        links={f"/l/{name}": target for name, target in links.items()},
        host_paths=tuple(sorted(f"/h/{name}" for name in host_paths)),
    ),
    st.dictionaries(
        _names,
        st.builds(ImageFile, _digests, st.integers(0, 2**53 - 1), st.integers(0, 0o777), st.integers(0, 2**32 - 1)),
    ),
    st.dictionaries(_names, st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=20)),
    st.sets(_names),
)


def _measure(image: bytes, value: str = _IMAGE) -> MeasurementTree:
    manifest = EnclaveManifest(binary="/app", settings={"SCONE_EXTENSIONS_PATH": value})
    reader = MemoryReader({"/app": elf(), _IMAGE: image, "/link.so": _IMAGE, "/other.so": image_head()})
    return measure(manifest, reader, bytes(32))


@given(_lists)
def test_list_has_one_form(found: Contents) -> None:
    """Parsing what was written gives the same list."""
    assert Contents.from_json(found.to_json()) == found


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_any_bytes_raise_our_error(data: bytes) -> None:
    """Bytes that are no list, or no image, raise nothing but InputError."""
    with pytest.raises(InputError):
        Contents.from_json(data)
    with pytest.raises(InputError):
        read_contents("image", lambda offset, size: data[offset : offset + size])


@given(st.integers(0), st.integers(1, 255))
def test_any_change_of_the_start_is_seen(at: int, change: int) -> None:
    """What is changed is refused, or is another list; dates and check sums of the archive decide nothing."""
    head = bytearray(image_head(_FILES))
    at %= len(head)
    head[at] ^= change
    try:
        found, read = read_contents("image", lambda offset, size: bytes(head[offset : offset + size]))
    except InputError:
        return
    assert read == head
    assert found != contents(_FILES) or at in (4, 5, *range(10, 18))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("{", " {"),
        ('"links":{', '"links":{"/python/../x":"y",'),
        ('"links":{', '"links":{"/python/print_env.py":"y",'),
        ('"links":{', '"links":{"/python":"y",'),
        ('"links":{', '"links":{"/python/print_env.py/x":"y",'),
        ('"links":{', '"links":{"/python/empty":"",'),
        ('"links":{', '"links":{"python/x":"y",'),
        ('"host_paths":["/etc/hosts"]', '"host_paths":["/etc/hosts","/etc/hosts"]'),
        ('"host_paths":["/etc/hosts"]', '"host_paths":["/python/print_env.py/x"]'),
        ('"host_paths":["/etc/hosts"]', '"host_paths":["/"]'),
        (",420,0]", ",2469,0]"),
        (",420,0]", ",420,-1]"),
        (",420,0]", ",420]"),
        (",420,0]", ",true,0]"),
        ("fs-1", "fs-2"),
        ('"format"', '"more":0,"format"'),
    ],
)
def test_other_lists_are_refused(old: str, new: str) -> None:
    """Other forms; entries that could lead out of a directory that is unpacked into; what is no mode and no time."""
    text = _LIST.to_json().decode()
    assert old in text
    with pytest.raises(InputError):
        Contents.from_json(text.replace(old, new, 1).encode())


def test_other_files_are_no_images() -> None:
    """A library of another kind is refused by its name, and told what would be right."""
    for data in (elf(), b"", image_head()[:HEAD_BYTES], b"PK\3\4" + bytes(60)):
        with pytest.raises(InputError, match=_IMAGE):
            _measure(data)
    with pytest.raises(InputError, match="no file-system image") as caught:
        _measure(elf())
    assert "scone binary-fs" in (caught.value.hint or "")


def test_long_lists_are_refused() -> None:
    """Before anything is read."""
    head = bytearray(image_head())
    head[18:26] = (CONTENTS_BYTES_MAX + 1).to_bytes(4, "little") * 2

    def read(offset: int, size: int) -> bytes:
        assert offset == 0, "the list must not be read"
        return bytes(head[:size])

    with pytest.raises(InputError, match="at most"):
        read_contents("image", read)


def test_content_of_an_image_is_measured() -> None:
    """By the digests in its list; a difference names the file, the link, or what is the host's."""
    base = _measure(image_head(_FILES))
    changed = _measure(image_head({**_FILES, "/python/print_env.py": b"import evil\n"}))
    assert base.root != changed.root
    assert difference(base, changed) == [f"/python/print_env.py changed (in {_IMAGE})"]
    more = _measure(image_head({"/python/new.py": b""}, {"/python/print_env.py": "x"}, ["/etc/hosts"]))
    assert difference(base, more) == [
        f"/python/größe.py is missing (in {_IMAGE})",
        f"/python/new.py added (in {_IMAGE})",
        f"/python/print_env.py changed (in {_IMAGE})",
        f"/etc/hosts is the host's (in {_IMAGE})",
    ]
    assert difference(more, base)[-1] == f"/etc/hosts is not the host's (in {_IMAGE})"


def test_which_images_and_in_which_order_is_measured() -> None:
    """Two images in another order are another enclave, and so is the same image by another name."""
    head = image_head(_FILES)
    roots = {
        value: _measure(head, value).root
        for value in ("", _IMAGE, "/link.so", f"{_IMAGE}:/other.so", f"/other.so:{_IMAGE}")
    }
    assert len(set(roots.values())) == len(roots)
    assert _measure(head, f"::{_IMAGE}:").root == roots[_IMAGE]
    tree = _measure(head, "/link.so")
    assert tree.links == {"/link.so": _IMAGE}
    assert [*tree.images] == [_IMAGE]
    assert difference(_measure(head, ""), tree)[-1] == "SCONE_EXTENSIONS_PATH /link.so, expected not set"


def test_paths_are_absolute_and_few() -> None:
    """What depends on the working directory is not measured."""
    for value in ("libbinary-fs.so", "/a:b", "/a:/a", ":".join(f"/{number}" for number in range(17)), "/\0"):
        with pytest.raises(InputError, match="SCONE_EXTENSIONS_PATH"):
            normal_settings({"SCONE_EXTENSIONS_PATH": value})
    assert image_paths(normal_settings({"SCONE_EXTENSIONS_PATH": "/b::/a"})) == ("/b", "/a")
    assert image_paths(normal_settings({})) == ()


def test_tree_with_an_image_is_a_document() -> None:
    """It has one form, in which the list stands as it is."""
    tree = _measure(image_head(_FILES, {"/python/link": "print_env.py"}, ["/etc/hosts"]))
    assert type(tree).from_json(tree.to_json()) == tree
    document: Any = json.loads(tree.to_json())
    assert document["images"][_IMAGE] == json.loads(_LIST.to_json())
    document["images"][_IMAGE]["more"] = 1
    with pytest.raises(InputError):
        type(tree).from_json(json.dumps(document, separators=(",", ":"), sort_keys=True).encode())
