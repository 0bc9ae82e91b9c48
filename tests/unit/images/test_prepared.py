"""What is worked out beforehand is what would be worked out at each start."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Final

from bannock.cli.prepared import prepare
from bannock.images.prepared import prepared

if TYPE_CHECKING:
    from pathlib import Path

#: They have data classes and patterns of all kinds, and are quick to import.
_MODULES: Final = ("bannock.policy.configuration", "bannock.net.address", "textwrap", "http.client")
#: Uses a file like that; tells what is compiled all the same, and each pattern that is another one.
_USED: Final = """\
import importlib, marshal, re, sys
before = importlib.import_module("re._compiler").compile
from bannock.cli.prepared import prepare
prepare(sys.argv[1])
def told(event, words):
    if event == "compile" and b"__create_fn__" in (words[0] or b""):
        print("compiled", words[0])
sys.addaudithook(told)
for name in sys.argv[2:]:
    importlib.import_module(name)
with open(sys.argv[1], "rb") as file:
    patterns, methods = marshal.load(file)
for pattern, flags in patterns:
    one, other = re.compile(pattern, flags), before(pattern, flags)
    if one != other or one.groupindex != other.groupindex or one.groups != other.groups:
        print("another", pattern)
from bannock.values import FspfTag
from bannock.policy.configuration import UpdatePolicy, VolumeMount
one = dict(name="a", path="/a", key=None, tag=None, update_policy=UpdatePolicy.EPHEMERAL)
assert VolumeMount(**one) == VolumeMount(**one) != VolumeMount(**{**one, "name": "b"})
try:
    VolumeMount(**one).name = "b"
except AttributeError:
    print(len(patterns) > 10, len(methods) > 10)
"""


def test_is_used(tmp_path: Path) -> None:
    """Modules are imported without compiling what was kept, and are what they would be."""
    kept = tmp_path / "prepared"
    kept.write_bytes(prepared(_MODULES))
    words = [sys.executable, "-I", "-c", _USED, str(kept), *_MODULES]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.stdout == "True True\n", done.stderr


def test_is_the_same_each_time() -> None:
    """From the same modules come the same bytes, in whatever order sets give their elements."""
    assert prepared(_MODULES) == prepared(_MODULES)


def test_nothing_is_there(tmp_path: Path) -> None:
    """Without a file, or with one that was cut, modules do as ever."""
    kept = tmp_path / "prepared"
    prepare(str(kept))
    for content in (b"", b"\0", prepared(())[:-1]):
        kept.write_bytes(content)
        prepare(str(kept))
