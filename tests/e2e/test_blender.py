"""Blender in its images: pictures are those of the native one, and each keeps to itself what is its own.

The maker of an image has its keys, the user those of inputs and outputs, and whoever rules the host has neither.
"""

from __future__ import annotations

import ast
import secrets
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest
import yaml

from bannock.errors import DeniedError, IntegrityError
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
from tests.protected_images import FUSE

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from bannock.net.client import Response
    from tests.containers import Engine
    from tests.curated_images import CuratedImages

pytestmark = [pytest.mark.docker, pytest.mark.fuse, pytest.mark.root]

_MAKER, _USER, _THIRD = (Identity.generate(name) for name in ("maker", "user", "third"))
_EXAMPLES: Final = machine.REPOSITORY / "examples" / "blender"
_SCENES: Final = ("simple_sphere", "metaballs", "parametric_torus")
_IMAGES: Final = machine.REPOSITORY / "images"
_CANARY: Final = "canary-scene-5519"
_COMMAND: Final = "blender -b -P /encryptedInputs/application.py"
_REGISTRY: Final = "registry.scontain.com/sconecuratedimages/iexecsgx:blender_python"
#: The two documents of the public use case; variables are written by their names.
_CREATORS: Final = f"""
name: scone:blender
digest: create

services:
   - name: blender
     image_name: {_REGISTRY}
     mrenclaves: [$MRENCLAVE]
     tags: [demo]
     pwd: /
     command: {_COMMAND}
     fspf_path: /usr/fspf.pb
     fspf_key: $FSPF_KEY
     fspf_tag: $FSPF_TAG
     environment:
        SCONE_NO_MMAP_ACCESS: 1
        SCONE_ALLOW_DLOPEN: 1

images:
   - name: {_REGISTRY}
     mrenclaves: [$MRENCLAVE]
     tags: [demo]
     volumes:
        - name: encrypted-input-files
          path: /encryptedInputs
        - name: encrypted-output-files
          path: /encryptedOutputs

exports:
  - namespace: service
    name: blender
    export: "*"
  - namespace: image
    name: {_REGISTRY}
    export: "*"

"""
_USERS: Final = f"""
name: $SESSION
digest: create

services:
   - name: blender
     import: scone:blender
     image_name: {_REGISTRY}
     command: {_COMMAND}
     pwd: /

volumes:
   - name: encrypted-input-files
     fspf_tag: $INPUT_FSPF_TAG
     fspf_key: $INPUT_FSPF_KEY
   - name: encrypted-output-files
     fspf_tag: $OUTPUT_FSPF_TAG
     fspf_key: $OUTPUT_FSPF_KEY

images:
   - name: {_REGISTRY}
     import: scone:blender

"""
#: What a program does that tells what it sees.
_LOOK: Final = f"""
SECRET = "{_CANARY}"
PLACES = ("/tmp", "/root", "/var/tmp")
import os
from pathlib import Path
for place in PLACES:
    Path(place, "left").write_text(SECRET)
seen = [str(path) for path in Path("/usr").rglob("*evil*")]
Path("/encryptedOutputs/seen").write_text(repr([seen, sorted(os.environ)]))
print("the end of the program")
"""
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
        self, image: str, session: str, inputs: Volume, outputs: Volume, *more: str, kept_as: str = ""
    ) -> subprocess.CompletedProcess[str]:
        """Run an image on ciphertext; the container is kept where it gets a name."""
        settings = {
            "SCONE_CAS_ADDR": str(self.cas.enclaves),
            "BANNOCK_CAS_KEY": str(self.cas.key),
            "SCONE_LAS_ADDR": "unix:/las/las.sock",
            "SCONE_CONFIG_ID": f"{session}/blender",
        }
        options = (
            *("--network", "host", "-v", f"{self.las}:/las", *FUSE),
            *(word for name, value in settings.items() for word in ("-e", f"{name}={value}")),
            *("-v", f"{inputs.directory}:/encryptedInputs", "-v", f"{outputs.directory}:/encryptedOutputs"),
            *more,
        )
        if kept_as:
            return self.engine.run("run", "--name", kept_as, *options, image, check=False)
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

    def made(self) -> dict[str, Any]:
        """Give what the maker's session says of the service."""
        service: dict[str, Any] = yaml.safe_load(self.curated.session_of_maker("blender_python"))["services"][0]
        return service

    def scene(self, text: str) -> Volume:
        """Encrypt a program."""
        source = self.home / f"scene-{secrets.token_hex(4)}"
        source.mkdir()
        (source / "application.py").write_text(text)
        return self.encrypted(source)

    def changed(self, *steps: str) -> str:
        """Make an image that somebody has changed."""
        context = self.home / f"changed-{secrets.token_hex(4)}"
        context.mkdir()
        lines = [f"FROM {self.curated.of('blender_python')}", *(f"RUN {step}" for step in steps)]
        (context / "Dockerfile").write_text("\n".join(lines))
        return self.engine.built(context.name, context)


@pytest.fixture(scope="module")
def studio(engine: Engine, curated: CuratedImages, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    """Build the images, start CAS and LAS, and publish the sessions of the images' maker."""
    home = tmp_path_factory.mktemp("studio")
    cas = CasProcess(home / "cas")
    las, address = start_las(home / "las")
    place = Path(address.removeprefix("unix:")).parent
    made = Studio(cas=cas, las=place, engine=engine, curated=curated, home=home)
    for image in ("blender_python", "blender"):
        made.post(_MAKER, curated.session_of_maker(image))
    yield made
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
    inputs, outputs = studio.encrypted(scenes), studio.encrypted(None)
    studio.order("alice", inputs, outputs, _template("blender_python"))
    done = studio.render(image, "alice", inputs, outputs)
    assert done.returncode == 0, done.stdout + done.stderr
    pictures = studio.pictures("alice", outputs)
    assert {path.name for path in pictures.iterdir()} == {f"{scene}.png" for scene in _SCENES}
    for scene, expected in native.items():
        assert len(expected.colours()) > 100
        assert Picture.read(pictures / f"{scene}.png").difference(expected) < 1, scene


def test_the_documents_of_the_use_case(studio: Studio) -> None:
    """As they stand, with the values that they leave open: the maker's, and what `execute` puts into the user's."""
    made = studio.made()
    values = {
        "MRENCLAVE": made["mrenclaves"][0],
        "FSPF_KEY": made["fspf_key"],
        "FSPF_TAG": made["fspf_tag"],
    }
    studio.post(_MAKER, render_session(_CREATORS + _SIMULATED, variables=values))
    inputs, outputs = studio.scene(_LOOK), studio.encrypted(None)
    studio.order("documents", inputs, outputs, _USERS + _SIMULATED)
    done = studio.render(studio.curated.of("blender_python"), "documents", inputs, outputs)
    assert done.returncode == 0, done.stderr
    assert "the end of the program" in done.stdout
    seen, environment = ast.literal_eval((studio.pictures("documents", outputs) / "seen").read_text())
    assert seen == []
    assert {"SCONE_NO_MMAP_ACCESS", "SCONE_ALLOW_DLOPEN"} <= set(environment)
    # Neither of the two reads the other's session, and none of it is anybody else's.
    for who, name in ((_MAKER, "documents"), (_USER, "scone:blender"), (_THIRD, "documents"), (None, "scone:blender")):
        answer = studio.ask(who, "GET", f"/v1/sessions/{name}")
        assert answer.status == 403
        for key in (made["fspf_key"], inputs.key.reveal_hex(), outputs.key.reveal_hex()):
            assert key not in answer.body.decode()
    with pytest.raises(IntegrityError):
        extract_volume(outputs.directory, FspfKey.from_hex(made["fspf_key"]), outputs.tag, studio.home / "stolen")


def test_nothing_is_left_in_the_container(studio: Studio) -> None:
    """What Blender and its user's program write elsewhere than to the outputs was in memory."""
    look = _LOOK.replace('"/var/tmp"', '"/var/tmp", "/usr", "/usr/lib", "/etc"')
    inputs, outputs = studio.scene(look), studio.encrypted(None)
    studio.order("left", inputs, outputs, _template("blender_python"))
    name = studio.engine.name("blender-left")
    try:
        done = studio.render(studio.curated.of("blender_python"), "left", inputs, outputs, kept_as=name)
        assert done.returncode == 0, done.stderr
        changed = {line[2:] for line in studio.engine.output("diff", name).splitlines() if not line.startswith("C")}
        assert changed <= {"/las", "/run/bannock"}, changed
    finally:
        studio.engine.run("rm", "-f", name)
    stored = [path.read_bytes() for each in (inputs, outputs) for path in each.directory.rglob("*") if path.is_file()]
    assert stored
    assert not [data for data in stored if _CANARY.encode() in data]


def test_a_changed_image(studio: Studio) -> None:
    """What somebody adds to the system is not there, what somebody changes in it is not read, and keys stay away."""
    added = studio.changed(
        "echo 'raise SystemExit(7)' > /usr/lib/python3/dist-packages/evil.py",
        "echo 'import evil' > /usr/lib/python3/dist-packages/evil.pth",
        "echo 'import evil' > /etc/python3.11/sitecustomize.py",
    )
    inputs, outputs = studio.scene(_LOOK), studio.encrypted(None)
    studio.order("added", inputs, outputs, _template("blender_python"))
    done = studio.render(added, "added", inputs, outputs)
    assert done.returncode != 7
    # With its compiled form alone changed, Python would take the module's source, which is authentic.
    module = "/usr/share/blender/scripts/modules/bpy"
    changed = studio.changed(
        f"for file in {module}/__init__.py {module}/__pycache__/__init__*; "
        "do echo changed | dd of=$file bs=1 seek=64 conv=notrunc; done"
    )
    inputs, outputs = studio.scene(f"import bpy\n{_LOOK}"), studio.encrypted(None)
    studio.order("changed", inputs, outputs, _template("blender_python"))
    done = studio.render(changed, "changed", inputs, outputs)
    assert "the end of the program" not in done.stdout
    assert "Input/output error" in done.stdout + done.stderr
    assert f"{module}/__init__.py" in done.stderr
    program = studio.changed("echo >> /opt/bannock/programs/usr/bin/blender")
    done = studio.render(program, "changed", inputs, outputs)
    assert (done.returncode, done.stdout) == (DeniedError.exit_code, "")


def test_another_user_cannot_open_the_volumes(studio: Studio) -> None:
    """Who has a session of his own for the same image, and the ciphertext, has nothing of what is in it."""
    inputs, outputs = studio.scene(_LOOK), studio.encrypted(None)
    studio.order("bob", inputs, outputs, _template("blender_python"))
    others = studio.scene("print(open('/encryptedInputs/application.py').read())\n")
    studio.order("mallory", others, studio.encrypted(None), _template("blender_python"), who=_THIRD)
    done = studio.render(studio.curated.of("blender_python"), "mallory", inputs, outputs)
    assert (done.returncode, done.stdout) == (IntegrityError.exit_code, "")
    assert _CANARY not in done.stderr


def test_frames_of_a_file(studio: Studio, tmp_path: Path) -> None:
    """FILE.blend in, pictures out, numbered by their frames: those that were asked for, or the first."""
    source = tmp_path / "inputs"
    source.mkdir()
    make = (
        "import bpy; scene = bpy.context.scene; scene.render.engine = 'CYCLES'; scene.cycles.samples = 4; "
        "scene.cycles.use_denoising = False; scene.render.resolution_x = scene.render.resolution_y = 48; "
        "cube = bpy.data.objects['Cube']; cube.keyframe_insert('location', frame=1); cube.location.x = 2; "
        "cube.keyframe_insert('location', frame=2); "
        "bpy.ops.wm.save_as_mainfile(filepath='/encryptedInputs/iexec-rlc.blend')"
    )
    place = ("-v", f"{source}:/encryptedInputs", "-e", "HOME=/tmp")
    native = studio.curated.native("blender")
    studio.engine.in_container(native, "blender", "-b", "--python-expr", make, options=place)
    expected = studio.natively("blender", source)
    assert [path.name for path in expected.iterdir()] == ["0001.png"]
    inputs, outputs = studio.encrypted(source), studio.encrypted(None)
    studio.order("frames", inputs, outputs, _template("blender"))
    frames = ("-e", "FRAME_FIRST=1", "-e", "FRAME_LAST=2")
    done = studio.render(studio.curated.of("blender"), "frames", inputs, outputs, *frames)
    assert done.returncode == 0, done.stdout + done.stderr
    pictures = studio.pictures("frames", outputs)
    assert sorted(path.name for path in pictures.iterdir()) == ["0001.png", "0002.png"]
    first, second = (Picture.read(pictures / f"000{frame}.png") for frame in (1, 2))
    assert first.difference(Picture.read(expected / "0001.png")) < 1
    assert second.difference(first) > 5


def _execute(studio: Studio, image: str, inputs: Path, outputs: Path, *more: str) -> subprocess.CompletedProcess[str]:
    """Run an image on this machine as a user does, with the CAS at which the maker's session is."""
    cas = ("-s", str(studio.cas.clients), "--cas-key", str(studio.cas.key), "--cas-enclave", str(studio.cas.enclaves))
    words = (
        "execute",
        "--application",
        studio.curated.of(image),
        "--host",
        "local",
        "--conf",
        str(studio.home / "conf"),
    )
    return subprocess.run(
        machine.ourselves().command(*words, "--input", str(inputs), "--output", str(outputs), *cas, *more),
        env={**studio.engine.environment, "HOME": str(studio.home)},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def test_rendered_by_one_command(studio: Studio, scenes: Path, native: Mapping[str, Picture], tmp_path: Path) -> None:
    """`execute` encrypts, runs and decrypts; the user's session is the template in the image."""
    inputs = tmp_path / "inputs"
    shutil.copytree(scenes, inputs)
    (inputs / "application.py").write_text((inputs / "metaballs.py").read_text())
    done = _execute(studio, "blender_python", inputs, tmp_path / "outputs")
    assert done.returncode == 0, done.stderr
    assert [path.name for path in (tmp_path / "outputs").iterdir()] == ["metaballs.png"]
    assert Picture.read(tmp_path / "outputs" / "metaballs.png").difference(native["metaballs"]) < 1
