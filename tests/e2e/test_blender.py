"""Blender in its images: pictures are those of the native one, and each keeps to itself what is its own.

The maker of an image has its keys, the user those of inputs and outputs, and whoever rules the host has neither.
"""

from __future__ import annotations

import secrets
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest
import yaml

from bannock.net.client import connect
from bannock.net.tls import Identity
from bannock.policy.parse import render_session
from bannock.remote.cas_client import volume_tag
from bannock.shield.pack import create_volume
from bannock.shield.unpack import extract_volume
from bannock.values import FspfKey, FspfTag
from tests.e2e import machine
from tests.integration.shield.kills.services import CasProcess, start_las
from tests.pictures import Picture

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator, Mapping

    from bannock.net.client import Response
    from tests.containers import Engine
    from tests.curated_images import CuratedImages

pytestmark = [pytest.mark.docker, pytest.mark.fuse, pytest.mark.root]

_MAKER, _USER, _THIRD = (Identity.generate(name) for name in ("maker", "user", "third"))
_EXAMPLES: Final = machine.REPOSITORY / "examples" / "blender"
_SCENES: Final = ("simple_sphere", "metaballs", "parametric_torus")
_IMAGES: Final = machine.REPOSITORY / "images"
_FUSE: Final = ("--device", "/dev/fuse", "--cap-add", "SYS_ADMIN")
_CANARY: Final = "canary-scene-5519"
#: What a session has to say besides where no hardware protects the host.
_SIMULATED: Final = "security: {attestation: {tolerate: [simulation]}}\n"
#: A scene is a module of its user's; of three, each is rendered.
_ALL: Final = f'SECRET = "{_CANARY}"\nimport sys\nsys.path.append("/encryptedInputs")\n' + "".join(
    f"import {scene}\n" for scene in _SCENES
)
#: How large pictures are; what the environment of a host says, an enclave does not see.
_SMALL: Final = "SIZE = 64\n"


@dataclass(frozen=True, kw_only=True)
class Volume:
    """A volume of the user's."""

    directory: Path
    key: FspfKey
    tag: FspfTag


@dataclass(frozen=True, kw_only=True)
class Studio:
    """Where Blender runs, and where its users are."""

    cas: CasProcess
    las: Path
    engine: Engine
    curated: CuratedImages
    home: Path

    def encrypted(self, source: Path | None) -> Volume:
        """Encrypt a directory, as a user."""
        key = FspfKey(secrets.token_bytes(32))
        directory = self.home / f"volume-{secrets.token_hex(4)}"
        return Volume(directory=directory, key=key, tag=create_volume(source, directory, key))

    def order(self, name: str, inputs: Volume, outputs: Volume, template: str, who: Identity = _USER) -> None:
        """Make a user's session."""
        variables = {
            "SESSION": name,
            "INPUT_FSPF_KEY": inputs.key.reveal_hex(),
            "INPUT_FSPF_TAG": str(inputs.tag),
            "OUTPUT_FSPF_KEY": outputs.key.reveal_hex(),
            "OUTPUT_FSPF_TAG": str(outputs.tag),
        }
        self.post(who, render_session(template, variables=variables))

    def post(self, who: Identity, text: str) -> None:
        """Make a session."""
        answer = self.ask(who, "POST", "/v1/sessions", text)
        assert answer.status == 201, answer.body.decode()

    def ask(self, who: Identity | None, method: str, path: str, body: str = "") -> Response:
        """Send a request to the CAS."""
        with connect(*self.cas.clients, who, expected_peer=self.cas.key) as client:
            return client.request(method, path, body.encode())

    def render(
        self, image: str, session: str, inputs: Volume, outputs: Volume, *more: str
    ) -> subprocess.CompletedProcess[str]:
        """Run an image on ciphertext."""
        settings = {
            "SCONE_CAS_ADDR": str(self.cas.enclaves),
            "BANNOCK_CAS_KEY": str(self.cas.key),
            "SCONE_LAS_ADDR": "unix:/las/las.sock",
            "SCONE_CONFIG_ID": f"{session}/blender",
        }
        options = (
            *("--network", "host", "-v", f"{self.las}:/las", *_FUSE),
            *(word for name, value in settings.items() for word in ("-e", f"{name}={value}")),
            *("-v", f"{inputs.directory}:/encryptedInputs", "-v", f"{outputs.directory}:/encryptedOutputs"),
            *more,
        )
        return self.engine.in_container(image, options=options, check=False)

    def pictures(self, session: str, outputs: Volume, who: Identity = _USER) -> Path:
        """Decrypt what came out, in the state that the CAS knows."""
        tag = volume_tag(self.cas.clients, self.cas.key, who, session, "encrypted-output-files")
        target = self.home / f"pictures-{session}"
        extract_volume(outputs.directory, outputs.key, tag, target)
        return target

    def natively(self, image: str, inputs: Path) -> Path:
        """Run the native image on plaintext."""
        target = self.home / f"native-{secrets.token_hex(4)}"
        target.mkdir()
        places = ("-v", f"{inputs}:/encryptedInputs", "-v", f"{target}:/encryptedOutputs")
        self.engine.in_container(self.curated.native(image), options=("-e", "HOME=/tmp", *places))
        return target

    def made(self, image: str) -> dict[str, Any]:
        """Give the maker's session of an image, taken apart."""
        document: dict[str, Any] = yaml.safe_load(self.curated.session_of_maker(image))
        return document


@pytest.fixture(scope="module")
def studio(engine: Engine, curated: CuratedImages, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    """Build the images, start CAS and LAS, and publish the sessions of the images' maker."""
    home = tmp_path_factory.mktemp("studio")
    cas = CasProcess(home / "cas")
    las, address = start_las(home / "las")
    place = Path(address.removeprefix("unix:")).parent
    yield Studio(cas=cas, las=place, engine=engine, curated=curated, home=home)
    las.close()
    cas.kill()


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the scenes of the examples, as inputs."""
    inputs = tmp_path_factory.mktemp("inputs")
    shutil.copytree(_EXAMPLES, inputs, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
    with (inputs / "studio.py").open("a") as module:
        module.write(_SMALL)
    (inputs / "application.py").write_text(_ALL)
    return inputs


@pytest.fixture(scope="module")
def native(studio: Studio, scenes: Path) -> Mapping[str, Picture]:
    """Give the pictures of the native image."""
    target = studio.natively("blender_python", scenes)
    return {scene: Picture.read(target / f"{scene}.png") for scene in _SCENES}


def _template(image: str) -> str:
    """What the image says a user's session is."""
    return (_IMAGES / image / "session.yaml").read_text()


def test_pictures_are_those_of_the_native_image(studio: Studio, scenes: Path, native: Mapping[str, Picture]) -> None:
    """Scenes, and modules that they share, come encrypted; pictures go encrypted; nothing of either stays behind."""
    image = studio.curated.of("blender_python")
    studio.post(_MAKER, studio.curated.session_of_maker("blender_python"))
    inputs, outputs = studio.encrypted(scenes), studio.encrypted(None)
    studio.order("alice", inputs, outputs, _template("blender_python"))
    done = studio.render(image, "alice", inputs, outputs)
    assert done.returncode == 0, done.stdout + done.stderr
    pictures = studio.pictures("alice", outputs)
    assert {path.name for path in pictures.iterdir()} == {f"{scene}.png" for scene in _SCENES}
    for scene, expected in native.items():
        assert len(expected.colours()) > 100
        assert Picture.read(pictures / f"{scene}.png").difference(expected) < 1, scene
