"""The runtime's layer: the same bytes each time, and all that it takes to run in an image that has nothing."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tarfile
import zlib
from typing import TYPE_CHECKING

import pytest

from bannock.errors import EnvironmentFault
from bannock.identity.layout import LAYER_ROOT
from bannock.identity.manifest import EnclaveManifest
from bannock.identity.measure import measure
from bannock.identity.reader import RootedReader
from bannock.identity.runtime_build import runtime_build
from bannock.images.layer import cached_layer
from tests.integration.images.empty_image import EmptyImage

if TYPE_CHECKING:
    from pathlib import Path

    from bannock.images.tar_layer import BuiltLayer

_ENV = os.path.realpath("/usr/bin/env")
#: Half as much as the smallest installation of Python and of what the runtime imports; a bound on what slips in.
_UNPACKED_MAX = 45 << 20


@pytest.fixture(scope="module")
def layer(runtime_layer: BuiltLayer) -> BuiltLayer:
    """The layer of this installation."""
    return runtime_layer


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory, layer: BuiltLayer) -> EmptyImage:
    """An image with one program, protected."""
    made = EmptyImage(tmp_path_factory.mktemp("image"), _ENV)
    made.protect(layer)
    made.root.chmod(0o755)
    made.root.parent.chmod(0o755)
    return made


def test_is_the_same_each_time(tmp_path: Path, layer: BuiltLayer) -> None:
    """Another process with other hashes of texts makes the same bytes, whatever the time is."""
    again = tmp_path / "again"
    program = "import sys, pathlib, bannock.images.layer as l; print(l.build_layer(pathlib.Path(sys.argv[1])).digest)"
    done = subprocess.run(
        [sys.executable, "-c", program, str(again)],
        env={**os.environ, "PYTHONHASHSEED": "7", "TZ": "Pacific/Apia", "LC_ALL": "C"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == layer.digest
    assert again.read_bytes() == layer.path.read_bytes()


def test_says_what_it_is(layer: BuiltLayer) -> None:
    """Digests and sizes are those of the file, and of the archive in it."""
    packed = layer.path.read_bytes()
    unpacked = zlib.decompress(packed, wbits=31)
    assert (layer.digest, layer.size) == (f"sha256:{hashlib.sha256(packed).hexdigest()}", len(packed))
    assert (layer.diff_id, layer.unpacked) == (f"sha256:{hashlib.sha256(unpacked).hexdigest()}", len(unpacked))
    assert layer.unpacked < _UNPACKED_MAX


def test_has_nothing_of_the_machine(layer: BuiltLayer) -> None:
    """Every entry is below one directory, of root and of no time; modules of the heavy parts are not there."""
    with tarfile.open(layer.path) as archive:
        entries = archive.getmembers()
    names = [entry.name for entry in entries]
    assert len(set(names)) == len(names)
    assert {name.split("/")[0] for name in names} == {"opt"}
    assert all(f"/{name}".startswith(LAYER_ROOT) for name in names[1:])
    assert {(entry.uid, entry.gid, entry.uname, entry.mtime) for entry in entries} == {(0, 0, "", 0)}
    assert all(entry.isdir() or entry.isreg() for entry in entries)
    assert not [name for name in names if "pydantic" in name or "sqlalchemy" in name or "bannock/cas" in name]


def test_is_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, layer: BuiltLayer) -> None:
    """A layer that is there is taken, and one that is cut is made anew."""
    kept = layer.path.parent
    monkeypatch.setattr("bannock.images.layer.build_layer", lambda _: pytest.fail("made again"))
    assert cached_layer(kept) == layer
    cut = tmp_path / layer.path.name
    cut.write_bytes(layer.path.read_bytes()[:-1])
    cut.with_suffix(".json").write_bytes(layer.path.with_suffix(".json").read_bytes())
    made: list[tuple[Path, bool]] = []

    def build(path: Path, *, whole: bool) -> BuiltLayer:
        made.append((path, whole))
        return layer

    monkeypatch.setattr("bannock.images.layer.build_layer", build)
    assert cached_layer(tmp_path) == layer
    assert made == [(cut, False)]


@pytest.mark.root
def test_measures_what_the_host_measures(tmp_path: Path, image: EmptyImage) -> None:
    """SCONE_HASH=1 in the image is the measurement of the image that it was made from."""
    plain = EmptyImage(tmp_path / "plain", _ENV)
    expected = measure(EnclaveManifest(binary=_ENV, settings={}), RootedReader(plain.root), runtime_build()).root
    done = image.run(SCONE_HASH="1")
    assert (done.stdout, done.stderr, done.returncode) == (f"{expected}\n", "", 0)


@pytest.mark.root
def test_runs_a_program_plainly(image: EmptyImage) -> None:
    """Without a session the program runs as if nothing had been done to it, and the log says so."""
    done = image.run(WHO="host")
    assert (done.stdout, done.returncode) == ("WHO=host\n", 0)
    assert "nothing is attested and nothing is protected" in done.stderr
    missing = image.run("no-such-program")
    assert missing.returncode == 127


@pytest.mark.root
@pytest.mark.parametrize("user", [0, 1000])
def test_goes_to_a_private_root(image: EmptyImage, user: int) -> None:
    """As root and as an ordinary user it gets as far as to the CAS, in an image that has not even /tmp."""
    done = image.run(user=user, SCONE_CONFIG_ID="session/service", SCONE_CAS_ADDR="127.0.0.1:1")
    assert "cannot reach CAS at 127.0.0.1:1: connection refused" in done.stderr
    assert done.returncode == EnvironmentFault.exit_code
