"""Bundles: what they say, and how they are installed."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import pytest
import yaml

from bannock.errors import EnvironmentFault, InputError
from bannock.execution.application import install, load_application
from bannock.execution.expected import expected_measurement
from bannock.execution.plan import OWN_VARIABLES
from bannock.policy.parse import parse_session

if TYPE_CHECKING:
    from collections.abc import Mapping

_DESCRIPTION = {
    "name": "app",
    "program": "bin/app",
    "service": "app",
    "input": "inputs",
    "output": "outputs",
    "session": "session.yaml",
}


def _bundle(directory: Path, **changes: object) -> str:
    directory.mkdir()
    description: Mapping[str, object] = {**_DESCRIPTION, **changes}
    (directory / "application.yaml").write_text(
        yaml.safe_dump({key: value for key, value in description.items() if value is not None})
    )
    (directory / "session.yaml").write_text("name: $SESSION\n")
    (directory / "bin").mkdir()
    (directory / "bin" / "app").write_text("#!/bin/sh\n")
    (directory / "bin" / "app").chmod(0o755)
    return str(directory)


def test_copy_demo_is_complete(tmp_path: Path) -> None:
    """The bundle that comes with Bannock has a template in the session language, and its program is the machine's."""
    application = load_application("copy_demo")
    values = {name: "ab" * 16 if name.endswith("TAG") else "ab" * 32 for name in OWN_VARIABLES}
    session = parse_session(application.template, variables={**values, "SESSION": "run"})
    assert session.service(application.service).name == "copy_demo"
    assert {volume.name for volume in session.volumes} == {application.input_volume, application.output_volume}
    install(application, tmp_path / "app")
    assert (tmp_path / "app" / application.program).read_bytes() == Path("/bin/cp").read_bytes()
    assert application.enclave_program == "/app/bin/copy_demo"


def test_bundle_by_its_directory(tmp_path: Path) -> None:
    """A reference with a slash is a directory."""
    application = load_application(_bundle(tmp_path / "app", settings={"SCONE_HEAP": "1G"}))
    assert (application.name, application.program) == ("app", PurePosixPath("bin/app"))
    assert application.settings == {"SCONE_HEAP": "1G"}
    assert application.template == "name: $SESSION\n"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": None}, "expected are"),
        ({"programm": "x"}, "expected are"),
        ({"name": "../x"}, "name has letters"),
        ({"program": "/bin/sh"}, "program is a path inside the bundle"),
        ({"session": "../session.yaml"}, "session is a path inside the bundle"),
        ({"session": "absent.yaml"}, "cannot read"),
        ({"copies": {"../x": "/bin/cp"}}, "copies is a path inside the bundle"),
        ({"copies": ["x"]}, "copies is a mapping"),
        ({"settings": {"SCONE_MODE": "hw"}}, "settings has SCONE_MODE, which no measurement covers"),
        ({"settings": {"SCONE_HEAP": 1}}, "settings.SCONE_HEAP is a text"),
    ],
)
def test_unusable_descriptions_are_refused(tmp_path: Path, changes: dict[str, object], message: str) -> None:
    """An unknown key, a missing one and a path out of the bundle are errors that name the file."""
    reference = _bundle(tmp_path / "app", **changes)
    with pytest.raises(InputError, match=message) as caught:
        load_application(reference)
    assert str(tmp_path) in caught.value.message


@pytest.mark.parametrize("content", [b"\xff", b"- a list", b"a: [", b"1: 2", b""])
def test_other_files_are_refused(tmp_path: Path, content: bytes) -> None:
    """A description that is not a YAML mapping is told as such."""
    reference = _bundle(tmp_path / "app")
    (tmp_path / "app" / "application.yaml").write_bytes(content)
    with pytest.raises(InputError):
        load_application(reference)


def test_unknown_application_names_the_known(tmp_path: Path) -> None:
    """A name that does not exist is an error that lists those that do."""
    with pytest.raises(InputError, match="there is no application 'copydemo'") as caught:
        load_application("copydemo")
    assert "copy_demo" in (caught.value.hint or "")
    with pytest.raises(InputError):
        load_application(str(tmp_path / "nothing"))


def test_program_that_this_machine_lacks(tmp_path: Path) -> None:
    """A bundle that asks for a program of the machine that is not there cannot be installed."""
    application = load_application(_bundle(tmp_path / "app", copies={"bin/tool": "/nonexistent/tool"}))
    with pytest.raises(EnvironmentFault, match="cannot install the application app"):
        install(application, tmp_path / "installed")


def test_measurement_covers_program_libraries_and_settings(tmp_path: Path) -> None:
    """One changed byte in the program is another measurement; the files are named as the enclave sees them."""
    application = load_application("copy_demo")
    install(application, tmp_path / "app")
    expected = expected_measurement(application, tmp_path / "app")
    assert "/app/bin/copy_demo" in expected.files
    assert any("libc.so" in path for path in expected.files)
    program = tmp_path / "app" / application.program
    program.write_bytes(program.read_bytes() + b"\0")
    assert expected_measurement(application, tmp_path / "app").root != expected.root


def test_links_in_a_bundle_stay_in_it(tmp_path: Path) -> None:
    """A link out of the bundle is measured as what the bundle has there, which is nothing."""
    reference = _bundle(tmp_path / "app")
    (tmp_path / "app" / "bin" / "app").unlink()
    (tmp_path / "app" / "bin" / "app").symlink_to("/bin/cp")
    with pytest.raises(InputError):
        expected_measurement(load_application(reference), tmp_path / "app")
