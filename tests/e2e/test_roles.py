"""The maker of an image and its user: each keeps keys to itself, and the attested application reads with both."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import pytest

from bannock.errors import DeniedError
from bannock.net.tls import Identity
from bannock.shield.fspf import Fspf, encrypt_fspf
from bannock.shield.pack import add_files, create_volume
from bannock.shield.regions import Protection, Region
from bannock.shield.unpack import extract_volume
from bannock.values import FspfKey

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path

    from bannock.values import FspfTag
    from tests.e2e.site import Site

pytestmark = pytest.mark.root

_CREATOR, _USER, _ATTACKER = (Identity.generate(name) for name in ("creator", "user", "attacker"))
_IMAGE: Final = "registry.example/iexecsgx:blender_python"
_INPUT_KEY: Final = FspfKey(b"i" * 32)
_COMMAND: Final = "sh /encryptedInputs/application.sh"
#: What the user's application does with what the maker of the image gives it.
_APPLICATION: Final = "cat /extension/licence /encryptedInputs/scene > /encryptedOutputs/picture; echo rendered"
_CREATORS: Final = """
name: scone:blender
digest: create
services:
   - name: blender
     image_name: {image}
     mrenclaves: [{measurement}]
     tags: [demo]
     pwd: /
     command: {command}
     fspf_path: {fspf}
     fspf_key: {key}
     fspf_tag: {tag}
     environment:
        SCONE_NO_MMAP_ACCESS: 1
        MODE: $$SCONE::mode$$
images:
   - name: {image}
     mrenclaves: [{measurement}]
     tags: [demo]
     volumes:
        - name: encrypted-input-files
          path: /encryptedInputs
        - name: encrypted-output-files
          path: /encryptedOutputs
     injection_files:
        - path: /made/mode
          content: "$$SCONE::mode$$"
        - /encryptedInputs/mode
secrets:
  - {{name: mode, kind: ascii, value: creators-own}}
exports:
  - namespace: service
    name: blender
    export: "{export}"
  - namespace: image
    name: {image}
    export: "{export}"
security: {{attestation: {{tolerate: [simulation]}}}}
"""
_USERS: Final = """
name: {name}
digest: create
services:
   - name: blender
     import: scone:blender
     image_name: {image}
     command: {command}
     pwd: /
     {service}
volumes:
   - name: encrypted-input-files
     fspf_tag: {input_tag}
     fspf_key: {input_key}
   - name: encrypted-output-files
images:
   - name: {image}
     {image_part}
secrets:
  - {{name: mode, kind: ascii, value: users-own}}
security: {{attestation: {{tolerate: [simulation]}}}}
"""


@dataclass(kw_only=True)
class Studio:
    """Where one application is, and what its user has encrypted for it."""

    site: Site
    measurement: str
    fspf_key: FspfKey
    fspf_tag: FspfTag
    input_tag: FspfTag
    input_key: FspfKey = _INPUT_KEY

    def publish(self, *, export: str = "*") -> None:
        """Make the session of the image, as its maker."""
        self.site.post(
            _CREATOR,
            _CREATORS.format(
                image=_IMAGE,
                measurement=self.measurement,
                command=_COMMAND,
                fspf=self.site.home / "extension" / "main.fspf",
                key=self.fspf_key.reveal_hex(),
                tag=self.fspf_tag,
                export=export,
            ),
        )

    def order(
        self,
        name: str = "alice",
        *,
        who: Identity = _USER,
        command: str = _COMMAND,
        service: str = "",
        image_part: str = "import: scone:blender",
    ) -> None:
        """Make the session of a user, or of somebody who says to be one."""
        self.site.post(
            who,
            _USERS.format(
                name=name,
                image=_IMAGE,
                command=command,
                service=service,
                image_part=image_part,
                input_tag=self.input_tag,
                input_key=self.input_key.reveal_hex(),
            ),
        )

    def run(self, name: str = "alice", *, program: str = "/bin/sh") -> subprocess.CompletedProcess[str]:
        """Render."""
        home = self.site.home
        options = [f"encrypted-input-files={home / 'input'}", f"encrypted-output-files={home / 'output'}"]
        return self.site.run(
            f"{name}/blender",
            program=program,
            options=("--mount", "memory", *(word for option in options for word in ("--volume", option))),
        )


@pytest.fixture
def studio(site: Site, tmp_path: Path) -> Studio:
    """Encrypt an extension, as the maker of the image, and an input, as its user."""
    extension, scene = tmp_path / "extension", tmp_path / "scene"
    for directory, files in (
        (extension, {"licence": "creators-licence\n"}),
        (scene, {"scene": "users-scene\n", "application.sh": f"{_APPLICATION}\n", "mode": "plain"}),
    ):
        directory.mkdir()
        for name, text in files.items():
            (directory / name).write_text(text)
    home = site.home
    (home / "extension" / "files").mkdir(parents=True)
    path = home / "extension" / "main.fspf"
    Fspf.create(path)
    with Fspf.open(path) as fspf:
        fspf.add_region(
            Region(path="/extension", protection=Protection.ENCRYPTED, kernel=str(home / "extension" / "files"))
        )
        fspf.commit()
        add_files(fspf.open_region("/extension", home / "extension" / "files"), extension)
        fspf.commit()
    fspf_tag, fspf_key = encrypt_fspf(path)
    return Studio(
        site=site,
        measurement=site.run("x/y", SCONE_HASH="1").stdout.strip(),
        fspf_key=fspf_key,
        fspf_tag=fspf_tag,
        input_tag=create_volume(scene, home / "input", _INPUT_KEY),
    )


def test_the_application_reads_what_both_have_given_it(studio: Studio, tmp_path: Path) -> None:
    """The result is the user's: its key was made for the user's session, and opens what the application wrote."""
    studio.publish()
    studio.order()
    done = studio.run()
    assert (done.returncode, done.stdout) == (0, "rendered\n"), done.stderr
    with studio.site.cas.store.reading() as view:
        key = view.secret_values("alice").volume_keys["encrypted-output-files"]
        state = view.volume("alice", "encrypted-output-files")
    assert state is not None
    assert state.tag is not None
    extract_volume(studio.site.home / "output", key, state.tag, tmp_path / "pictures")
    assert (tmp_path / "pictures" / "picture").read_text() == "creators-licence\nusers-scene\n"


def test_templates_name_the_secrets_of_whose_they_are(studio: Studio) -> None:
    """Both sessions have a secret of one name; the image's maker put its own into the environment and the file."""
    application = studio.site.home / "other"
    application.mkdir()
    (application / "application.sh").write_text('echo "$MODE $(cat /made/mode /encryptedInputs/mode)"\n')
    (application / "mode").write_text(" $$SCONE::mode$$")
    studio.input_tag = create_volume(application, studio.site.home / "modes", studio.input_key)
    (studio.site.home / "input").rename(studio.site.home / "unused")
    (studio.site.home / "modes").rename(studio.site.home / "input")
    studio.publish()
    studio.order()
    assert studio.run().stdout == "creators-own creators-own creators-own\n"


def test_nobody_reads_the_keys_of_another(studio: Studio) -> None:
    """Neither maker, user nor anybody else reads a session that is not theirs, nor any value of it."""
    studio.publish()
    studio.order()
    for owner, name in ((_CREATOR, "scone:blender"), (_USER, "alice")):
        for who in (_CREATOR, _USER, _ATTACKER, None):
            answer = studio.site.ask(who, "GET", f"/v1/sessions/{name}")
            assert answer.status == (200 if who is owner else 403)
            values = studio.site.ask(who, "GET", f"/v1/values/session={name}")
            assert values.status in (200, 403, 404)
            told = values.body + (answer.body if who is not owner else b"")
            for key in (studio.fspf_key, studio.input_key):
                assert key.reveal_hex().encode() not in told
            assert b"-own" not in told
    users = json.loads(studio.site.ask(_USER, "GET", "/v1/sessions/alice").body)["session"]
    assert studio.fspf_key.reveal_hex() not in users


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"command": "sh -c 'cat /extension/licence'"}, "changes its command"),
        ({"service": "environment: {LD_PRELOAD: /encryptedInputs/evil.so}"}, "changes its environment"),
        (
            {"service": "fspf_path: /tmp/other.fspf\n     fspf_tag: " + "cd" * 16 + "\n     fspf_key: " + "ab" * 32},
            "changes its fspf_path",
        ),
        ({"image_part": "volumes: []"}, "its image registry.example/iexecsgx:blender_python has to be imported"),
        (
            {
                "image_part": "import: scone:blender\n     injection_files: "
                "[{path: /encryptedInputs/application.sh, content: cat /extension/licence}]"
            },
            "changes what is in it",
        ),
    ],
)
def test_an_importer_cannot_turn_the_application_around(studio: Studio, changes: dict[str, str], why: str) -> None:
    """Whoever imports the service gets it as it is, or not at all."""
    studio.publish()
    studio.order("mallory", who=_ATTACKER, **changes)
    done = studio.run("mallory")
    assert (done.returncode, done.stdout) == (DeniedError.exit_code, "")
    assert why in done.stderr
    assert "licence" not in done.stderr


def test_what_is_not_exported_is_not_imported(studio: Studio) -> None:
    """The maker of an image may name who uses it."""
    studio.publish(export="alice")
    studio.order("mallory", who=_ATTACKER)
    done = studio.run("mallory")
    assert (done.returncode, done.stdout) == (DeniedError.exit_code, "")
    assert "session scone:blender does not export service blender to session mallory" in done.stderr
    studio.order("alice")
    assert studio.run("alice").stdout == "rendered\n"


def test_another_program_gets_nothing_of_both(studio: Studio) -> None:
    """The user's session says nothing of measurements; those of the image's maker count."""
    studio.publish()
    studio.order()
    done = studio.run(program="/bin/cat")
    assert (done.returncode, done.stdout) == (DeniedError.exit_code, "")
    assert f"Expected {studio.measurement}" in done.stderr
