"""The document of the measurement format says what the code does: its vector, its tables, its lists."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Final

import pytest

from bannock.errors import InputError
from bannock.identity.manifest import EnclaveManifest
from bannock.identity.measure import measure
from bannock.identity.runtime_build import runtime_build, runtime_files
from bannock.identity.settings import normal_settings, shown
from bannock.identity.tree import MeasurementTree
from tests.unit.identity.elves import GLIBC, MemoryReader, elf
from tests.unit.identity.images import image_head

_REPOSITORY: Final = Path(__file__).parents[3]
_DOCUMENT: Final = (_REPOSITORY / "docs" / "formats" / "measurement.md").read_text(encoding="utf-8")
_LEAVES: Final = re.findall(r'^(\["(?:format|runtime|program|file)",.*\])$', _DOCUMENT, re.MULTILINE)
_TREE: Final = measure(
    EnclaveManifest(binary="/bin/app", settings={"SCONE_EXTENSIONS_PATH": "/fs.so"}),
    MemoryReader({"/bin/app": elf(interpreter=GLIBC), GLIBC: "/ld.so", "/ld.so": elf(), "/fs.so": image_head()}),
    bytes(32),
)


def _root(leaves: list[str]) -> str:
    """Follow section 2.1.1 of RFC 9162 word for word, in another way than the code does."""

    def tree_hash(entries: list[str]) -> bytes:
        if len(entries) == 1:
            return hashlib.sha256(b"\x00" + entries[0].encode()).digest()
        split = 1
        while split * 2 < len(entries):
            split *= 2
        return hashlib.sha256(b"\x01" + tree_hash(entries[:split]) + tree_hash(entries[split:])).digest()

    return tree_hash(leaves).hex()


def test_vector_in_the_document_is_right() -> None:
    """The leaves that the document shows hash to the MRENCLAVE that it shows, and are those of the vector file."""
    found = re.search(r"^MRENCLAVE ([0-9a-f]{64})$", _DOCUMENT, re.MULTILINE)
    assert found is not None
    vector = json.loads((Path(__file__).parent / "vectors" / "smallest.json").read_text(encoding="utf-8"))
    assert vector["leaves"] == _LEAVES
    assert found[1] == _root(_LEAVES) == vector["mrenclave"]


def test_every_kind_of_leaf_is_in_the_table() -> None:
    """What stands first in a leaf is a row of the table, and nothing else is."""
    rows = re.findall(r'^\| `\["(\w+)",', _DOCUMENT, re.MULTILINE)
    kinds = dict.fromkeys(json.loads(leaf)[0] for leaf in _TREE.leaves())
    assert rows == list(kinds)


def test_settings_in_the_table_are_all_there_are() -> None:
    """Each setting stands there with its default."""
    rows = dict(re.findall(r"^\| `(SCONE_\w+)` \| `?([\w ]+?)`? \|", _DOCUMENT, re.MULTILINE))
    assert rows == {name: shown(name, value) for name, value in normal_settings({}).items()}


def test_runtime_build_as_the_document_says() -> None:
    """The hash of the runtime by the words of the document: lines as sha256sum prints them, sorted."""
    files = {file.name: file.path for file in runtime_files()}
    package = _REPOSITORY / "src" / "bannock"
    ours = {f"bannock/{path.relative_to(package).as_posix()}" for path in package.rglob("*.py")}
    assert ours == {name for name in files if name.startswith("bannock/")}
    lines = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {name}\n".encode() for name, path in files.items()]
    assert runtime_build() == hashlib.sha256(b"".join(sorted(lines))).digest()


def _merkle_of(size: int) -> str:
    """Compute the root of a tree with so many leaves, of which all but four are settings."""
    files = {"/a": [hashlib.sha256(b"").hexdigest(), 0]}
    settings = {f"N{number:03}": "" for number in range(size - 4)}
    document = {"files": files, "format": "bannock-measurement-2", "images": {}, "links": {}, "program": "/a"}
    text = json.dumps({**document, "runtime": "00" * 32, "settings": settings}, separators=(",", ":"))
    tree = MeasurementTree.from_json(text.encode())
    assert len(tree.leaves()) == size
    assert str(tree.root) == _root([leaf.decode() for leaf in tree.leaves()])
    return str(tree.root)


def test_trees_of_all_sizes_have_the_root_of_the_standard() -> None:
    """Around every power of two, the tree splits as RFC 9162 says; no two sizes have one root."""
    assert len({_merkle_of(size) for size in range(4, 70)}) == 66


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("{", '{"files":{},'),
        ('"settings":{', '"settings":{"SCONE_FORK":"1",'),
        ('"files":{', '"files":{"/bin/app":["' + "00" * 32 + '",1],'),
        ('"runtime":"00', '"runtime":"0\\u0030'),
        ('"runtime":"00', '"runtime":"00 '),
        ("/bin/app", "\\/bin\\/app"),
        (":", ": "),
        ('"links"', '\n"links"'),
        ('"0"', "0"),
    ],
)
def test_document_has_one_form(old: str, new: str) -> None:
    """Doubled names, escapes, white space and numbers for text are refused."""
    text = _TREE.to_json().decode()
    assert old in text
    with pytest.raises(InputError):
        MeasurementTree.from_json(text.replace(old, new, 1).encode())


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "utf-8-sig"])
def test_document_is_utf8(encoding: str) -> None:
    """The same text in another encoding is refused."""
    with pytest.raises(InputError):
        MeasurementTree.from_json(_TREE.to_json().decode().encode(encoding))
    with pytest.raises(InputError):
        EnclaveManifest.from_json(EnclaveManifest(binary="/a", settings={}).to_json().decode().encode(encoding))
