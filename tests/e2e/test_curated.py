"""The curated images as their users meet them; what the tutorial does with them is in its own test."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

import pytest

from bannock.net.tls import Identity
from bannock.remote.cas_client import volume_tag
from bannock.shield.pack import create_volume
from bannock.shield.unpack import extract_volume
from bannock.values import FSPF_KEY_BYTES, FspfKey
from tests.protected_images import FUSE, MEMORY

if TYPE_CHECKING:
    from pathlib import Path

    from bannock.images.tar_layer import BuiltLayer
    from tests.containers import BaseImages, Engine
    from tests.curated_images import CuratedImages
    from tests.e2e.site import Site

pytestmark = [pytest.mark.docker, pytest.mark.root]

_OWNER: Final = Identity.generate("owner")
_TEXT: Final = "Hello World\n"
_SOMEBODY: Final = 1234
_SESSION: Final = """
name: copy
version: "0.3.10"
services:
  - name: copy_demo
    image_name: copy_demo
    mrenclaves: [{measurement}]
    command: cp -dR --preserve=mode,timestamps,links /encryptedInputs/. /encryptedOutputs
images:
  - name: copy_demo
    volumes: [{{name: input, path: /encryptedInputs}}, {{name: output, path: /encryptedOutputs}}]
volumes:
  - {{name: input, fspf_key: {input_key}, fspf_tag: {input_tag}}}
  - {{name: output, fspf_key: {output_key}, fspf_tag: {output_tag}}}
security: {{attestation: {{tolerate: [simulation]}}}}
"""


def _directories(place: Path, *names: str) -> list[Path]:
    """Make directories as ``mkdir`` does for a user of the host."""
    made = [place / name for name in names]
    for path in made:
        path.mkdir(mode=0o755)
        os.chown(path, _SOMEBODY, _SOMEBODY)
    return made


@pytest.mark.fuse
def test_an_application_is_executed_by_the_image_of_the_command(
    engine: Engine, curated: CuratedImages, tmp_path: Path
) -> None:
    """``-v …:/inputs -v …:/decryptedOutputs -v …:/conf``: inputs come back as outputs, and keys stay in /conf."""
    inputs, outputs, conf = _directories(tmp_path, "INPUTS", "OUTPUTS", "conf")
    (inputs / "f1.txt").write_text(_TEXT)
    places = ("-v", f"{inputs}:/inputs", "-v", f"{outputs}:/decryptedOutputs", "-v", f"{conf}:/conf")
    words = ("execute", "--application", "copy_demo", "--host", "local")
    where = ("--input", "/inputs", "--output", "/decryptedOutputs")
    done = engine.in_container(curated.of("cli"), *words, *where, options=(*FUSE, *places))
    assert "decrypted into /decryptedOutputs" in done.stdout
    assert (outputs / "f1.txt").read_text() == _TEXT
    assert conf.stat().st_mode & 0o077 == 0
    assert (conf / "identity.pem").is_file()


def test_the_command_tells_what_it_does(engine: Engine, curated: CuratedImages) -> None:
    """Without words it lists its own; a word that it does not know is an error."""
    assert "execute" in engine.in_container(curated.of("cli")).stdout
    done = engine.in_container(curated.of("cli"), "exceute", check=False)
    assert done.returncode != 0
    assert "bannock exceute" in done.stderr


@pytest.mark.parametrize(
    "options", [pytest.param(FUSE, marks=pytest.mark.fuse, id="fuse"), pytest.param(MEMORY, id="memory")]
)
def test_the_copying_image_copies(
    engine: Engine, curated: CuratedImages, site: Site, tmp_path: Path, options: tuple[str, ...]
) -> None:
    """Ciphertext in, ciphertext out; what is in it is what the owner of the keys put into it."""
    inputs, outputs, plain = (tmp_path / name for name in ("input", "output", "plain"))
    plain.mkdir()
    (plain / "f1.txt").write_text(_TEXT)
    (plain / "link").symlink_to("f1.txt")
    keys = [FspfKey(os.urandom(FSPF_KEY_BYTES)) for _ in range(2)]
    tags = [create_volume(plain, inputs, keys[0]), create_volume(None, outputs, keys[1])]
    image = curated.of("copy_demo")
    told = {
        "measurement": engine.in_container(image, options=("-e", "SCONE_HASH=1")).stdout.strip(),
        "input_key": keys[0].reveal_hex(),
        "input_tag": str(tags[0]),
        "output_key": keys[1].reveal_hex(),
        "output_tag": str(tags[1]),
    }
    site.post(_OWNER, _SESSION.format(**told))
    volumes = (
        "-v", f"{inputs}:/in", "-e", "BANNOCK_VOLUME_input=/in",
        "-v", f"{outputs}:/out", "-e", "BANNOCK_VOLUME_output=/out",
    )  # fmt: skip
    done = engine.in_container(image, options=(*options, *site.container_options("copy/copy_demo"), *volumes))
    assert "nothing is attested" not in done.stderr
    after = volume_tag(site.client_address, site.cas.key_hash, _OWNER, "copy", "output")
    assert after != tags[1]
    assert not any(_TEXT.encode() in path.read_bytes() for path in tmp_path.glob("*put/**/*") if path.is_file())
    extract_volume(outputs, keys[1], after, tmp_path / "copied")
    assert (tmp_path / "copied" / "f1.txt").read_text() == _TEXT
    assert (tmp_path / "copied" / "link").readlink().name == "f1.txt"


def test_tools_are_there(engine: Engine, curated: CuratedImages, runtime_layer: BuiltLayer) -> None:
    """All commands are in the path, work, and make the layer that they were installed from."""
    script = """
        bannock runtime build-layer /tmp/layer
        scone --help | head -n 1
        scone-signer --help | head -n 1
        sconify_image --help | head -n 1
        sconify_iexec --help | head -n 1
        determine_sgx_device
    """
    done = engine.in_container(curated.of("tools"), "sh", "-ec", script)
    digest, *usages = done.stdout.splitlines()
    assert digest == runtime_layer.digest
    names = ("scone", "scone-signer", "sconify_image", "sconify_iexec")
    assert [usage.split()[:2] for usage in usages[:4]] == [["usage:", name] for name in names]
    assert len(usages) == 4 or usages[4].startswith("--device")


def test_tools_protect_an_image(engine: Engine, curated: CuratedImages, bases: BaseImages, tmp_path: Path) -> None:
    """With the engine's socket, the image of the tools makes protected images; nothing else is needed for that."""
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "code").write_text(_TEXT)
    (tmp_path / "Dockerfile").write_text(f"FROM {bases.busybox()}\nCOPY app /app\n")
    native, made = engine.built("native-by-tools", tmp_path), engine.name("by-tools")
    words = ("--binary=/bin/sh", f"--from={native}", f"--to={made}", "--dir=/app", "--name=by-tools")
    offline = ("--cas=cas.example", "--disable-session-upload", "--disable-attestation")
    socket = ("-v", f"{engine.socket}:/var/run/docker.sock")
    done = engine.in_container(curated.of("tools"), "sconify_image", *words, *offline, options=socket)
    assert done.stdout == "by-tools\n"
    measured = engine.in_container(made, options=("-e", "SCONE_HASH=1")).stdout
    assert len(measured.strip()) == 64
    container = engine.output("create", "--name", engine.name("by-tools-seen"), made)
    seen = engine.run("cp", f"{container}:/app/code", "-").stdout
    assert "code" in seen
    assert _TEXT not in seen
