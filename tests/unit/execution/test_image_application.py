"""What an image says of itself as an application, and what is missing where it says too little."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bannock.errors import InputError, PolicySyntaxError
from bannock.execution.image_application import ImageApplication, application_of, facts_of
from bannock.identity.layout import BUILD_FILE, LAUNCHER
from bannock.identity.runtime_build import runtime_build
from bannock.images.blobs import Scratch
from bannock.images.config import Config
from tests.unit.images import build

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_DESCRIPTION = """
name: copy
program: /bin/cp
service: copy
input: inputs
output: outputs
session: session.yaml
settings: {SCONE_HEAP: 1G}
"""
_SESSION = """
name: $SESSION
version: "0.3.10"
security: {attestation: {tolerate: [simulation]}}
services:
  - {name: copy, image_name: copy, mrenclaves: [$MRENCLAVE], command: cp -r $WHAT /out, pwd: /}
images:
  - {name: copy, volumes: [{name: inputs, path: /in}, {name: outputs, path: /out}]}
volumes:
  - {name: inputs, fspf_key: $INPUT_FSPF_KEY, fspf_tag: $INPUT_FSPF_TAG}
  - {name: outputs, fspf_key: $OUTPUT_FSPF_KEY, fspf_tag: $OUTPUT_FSPF_TAG}
"""
_PLACE = "opt/bannock/application"
_FILES: dict[str, bytes] = {
    "bin/cp": LAUNCHER,
    # A static program: nothing but itself is measured.
    "opt/bannock/programs/bin/cp": b"#!/bin/busybox sh\n",
    "bin/busybox": Path("/bin/busybox").read_bytes() if Path("/bin/busybox").exists() else b"",
    "opt/bannock/bin/carry": b"#!\n",
    BUILD_FILE[1:]: runtime_build().hex().encode(),
    f"{_PLACE}/application.yaml": _DESCRIPTION.encode(),
    f"{_PLACE}/session.yaml": _SESSION.encode(),
}
_VARIABLES = {"WHAT": "/in"}

pytestmark = pytest.mark.skipif(not _FILES["bin/busybox"], reason="needs busybox-static")


@pytest.fixture
def scratch(tmp_path: Path) -> Iterator[Scratch]:
    """Where layers are."""
    with Scratch(tmp_path / "scratch") as made:
        yield made


def found(
    scratch: Scratch,
    *,
    template: str | None = None,
    without: tuple[str, ...] = (),
    config: Config | None = None,
    changed: Mapping[str, str] | None = None,
) -> ImageApplication:
    """What is found in an image with some files changed (by their last name) or left out."""
    files = {name: data for name, data in _FILES.items() if not name.endswith(without or "\0")}
    for name, text in (changed or {}).items():
        (path,) = (path for path in files if path.rpartition("/")[2].partition(".")[0] == name)
        files[path] = text.encode()
    image = build.image(build.layer(build.tar({**files}), scratch), config=config)
    reference = "registry.example/team/copy:2"
    return application_of(reference, *facts_of(image), template=template, variables=_VARIABLES)


def test_an_image_says_what_it_is(scratch: Scratch) -> None:
    """Name, program, service and volumes are those of its description, and the original program is measured."""
    application = found(scratch)
    assert (application.title, application.program, application.service) == ("copy", "/bin/cp", "copy")
    assert (application.input_volume, application.output_volume) == ("inputs", "outputs")
    assert application.settings == {"SCONE_HEAP": "1G"}
    assert application.insists
    assert application.tree.program == "/bin/cp"
    assert application.tree.settings["SCONE_HEAP"] == found(scratch).tree.settings["SCONE_HEAP"]
    assert "/bin/busybox" in application.tree.files


def test_the_measured_program_is_the_one_that_stands_aside(scratch: Scratch) -> None:
    """The launcher is the same in all images, so what is measured is what it starts."""
    original = found(scratch).tree
    other = dict(_FILES)
    other["opt/bannock/programs/bin/cp"] = b"#!/bin/busybox ash\n"
    image = build.image(build.layer(build.tar({**other}), scratch))
    changed = application_of("copy", *facts_of(image), template=None, variables=_VARIABLES).tree
    assert original.root != changed.root


def test_settings_of_the_image_are_measured(scratch: Scratch) -> None:
    """A container has the environment of its image, so the runtime will measure what is in it."""
    plain = found(scratch).tree.root
    assert found(scratch, config=Config(env=(("SCONE_STACK", "8M"),))).tree.root != plain


def test_a_template_takes_the_place_of_the_own_one(scratch: Scratch) -> None:
    """What the description says stays; the session is another one."""
    template = _SESSION.replace("[$MRENCLAVE]", f"[{'1' * 64}]")
    application = found(scratch, template=template)
    assert application.template == template
    assert not application.insists


def test_an_image_without_a_description(scratch: Scratch) -> None:
    """The template says which service, which program (by its command), and which volumes (by their keys)."""
    application = found(scratch, template=_SESSION, without=("application.yaml",))
    assert (application.title, application.program, application.service) == ("2", "/bin/cp", "copy")
    assert (application.input_volume, application.output_volume) == ("inputs", "outputs")


def test_an_older_runtime_is_taken_where_the_session_names_its_measurement(scratch: Scratch) -> None:
    """Only what this command vouches for has to be of its own build."""
    template = _SESSION.replace("[$MRENCLAVE]", f"[{'1' * 64}]")
    found(scratch, template=template, changed={"runtime-build": "0" * 64})
    with pytest.raises(InputError, match="another build of the runtime"):
        found(scratch, changed={"runtime-build": "0" * 64})


@pytest.mark.parametrize(
    ("without", "changed", "message"),
    [
        (("application.yaml",), {}, "does not say what session"),
        (("bin/cp",), {}, "there is no program '/bin/cp'"),
        (("programs/bin/cp",), {}, "does not start as an enclave"),
        (("bin/carry",), {}, "a runtime of an older version"),
        (("session.yaml",), {}, "there is no file /opt/bannock/application/session.yaml"),
        ((), {"application": "[]"}, "is a mapping"),
        ((), {"application": "{"}, "is not YAML"),
        ((), {"application": "name: x"}, "has the keys name; expected are"),
        ((), {"application": _DESCRIPTION.replace("copy\n", "a/b\n", 1)}, "name has letters"),
        ((), {"application": _DESCRIPTION.replace("session.yaml", "../x")}, "session is a path below"),
        ((), {"application": _DESCRIPTION.replace("SCONE_HEAP", "LD_PRELOAD")}, "which no measurement covers"),
        ((), {"application": _DESCRIPTION.replace("service: copy", "service: other")}, "has no service 'other'"),
        ((), {"application": _DESCRIPTION.replace("input: inputs", "input: other")}, "no volume for the inputs"),
    ],
)
def test_what_is_missing_is_named(
    scratch: Scratch, without: tuple[str, ...], changed: dict[str, str], message: str
) -> None:
    """An image that cannot be run says why before anything is made."""
    with pytest.raises(Exception, match=message):
        found(scratch, without=without, changed=changed)


def test_a_template_that_is_no_session_is_refused(scratch: Scratch) -> None:
    """Every issue of it is told; a variable that nobody gave is one."""
    with pytest.raises(PolicySyntaxError):
        found(scratch, changed={"session": "name: ["})
    with pytest.raises(PolicySyntaxError) as caught:
        found(scratch, changed={"session": _SESSION.replace("$WHAT", "$WHAT $ELSE")})
    assert any("ELSE" in reason for reason in caught.value.reasons)
