"""Services as their operators start them: arguments, environment and files of real programs, and refusals."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Final

import pytest

from bannock.errors import DeniedError, InputError
from bannock.net.tls import Identity
from bannock.policy.one_time_password import one_time_password, shared_secret
from bannock.values import Secret

if TYPE_CHECKING:
    from tests.e2e.site import Site

pytestmark = pytest.mark.root

_OWNER: Final = Identity.generate("owner")
_ANY: Final = "security: {attestation: {mode: none}}"


def test_host_arguments_and_variables(site: Site) -> None:
    """What the session names comes from the host, mixed with secrets, and nothing else of the host's does."""
    site.post(
        _OWNER,
        r"""
name: demo
version: "0.3.10"
services:
  - name: app
    command:
      - /bin/sh
      - -c
      - 'for a in "$0" "$@"; do printf "%s|" "$a"; done; echo; /usr/bin/env | /usr/bin/sort'
      - name
      - "--password=$$SCONE::password$$"
      - "@@2"
      - "@@*"
    environment:
      "@@NAME": ignored
      \@\@ABSENT: ignored
      SECRET: "$$SCONE::password$$"
secrets: [{name: password, kind: ascii, value: "@@1"}]
"""
        + _ANY,
    )
    words, *variables = site.output(
        "demo/app", "first", "second", "@@1", NAME="42", LD_PRELOAD="/evil.so", HOST="secret"
    ).splitlines()
    assert words == "name|--password=@@1|second|first|@@1|"
    assert [line for line in variables if not line.startswith(("_=", "PWD=", "SHLVL=", "OLDPWD="))] == [
        "ABSENT=",
        "NAME=42",
        "SECRET=@@1",
    ]


def test_a_missing_host_argument_is_fatal(site: Site) -> None:
    """Before anything runs, and before a volume is opened."""
    site.post(
        _OWNER,
        """
name: demo
version: "0.3.10"
services: [{name: app, image_name: image, command: [/bin/sh, -c, "echo ran", "@@1", "@@2"]}]
images: [{name: image, volumes: [{name: data, path: /data}]}]
volumes: [{name: data}]
"""
        + _ANY,
    )
    done = site.run("demo/app", "one")
    assert (done.returncode, done.stdout) == (InputError.exit_code, "")
    assert "asks for the host arguments @@2, and 1 were given" in done.stderr


def test_without_a_command_the_measured_program_runs_alone(site: Site) -> None:
    """Published sessions have such services; what the host says does not become its arguments."""
    site.post(_OWNER, 'name: demo\nversion: "0.3.10"\nservices: [{name: app}]\n' + _ANY)
    assert site.output("demo/app", "-c", "echo of the host") == ""


_FILES: Final = """
name: demo
version: "0.3.10"
services:
  - name: writer
    image_name: plain
    command: [/bin/sh, -c, 'printf "%s" "$1" > /data/my.cnf', sh, "@@1"]
  - name: reader
    image_name: injected
    command: [/bin/sh, -c, "cat /data/my.cnf /made/*; stat -c %a /data/my.cnf /made/*; echo new > /data/my.cnf"]
images:
  - {name: plain, volumes: [{name: data, path: /data}]}
  - name: injected
    volumes: [{name: data, path: /data}]
    injection_files:
      - /data/my.cnf
      - {path: /made/file, permission: 0o400, content: "[$$SCONE::password|escape(json)$$]"}
volumes: [{name: data}]
secrets:
  - {name: password, kind: ascii, value: 'open "sesame"'}
  - {name: other, kind: ascii, value: canary}
"""


@pytest.mark.parametrize("mount", [pytest.param("fuse", marks=pytest.mark.fuse), "memory"])
def test_files_of_the_image_are_filled(site: Site, mount: str) -> None:
    """The file at the path is read through the shield; what the application writes to it is forgotten."""
    options = ("--mount", mount, "--volume", f"data={site.home / 'data'}")
    site.post(_OWNER, _FILES + _ANY)
    site.output("demo/writer", "[client]\npassword=$$SCONE::password$$\n", options=options)
    expected = '[client]\npassword=open "sesame"\n[open \\"sesame\\"]700\n400\n'
    for _ in range(2):
        assert site.output("demo/reader", options=options) == expected


def test_a_file_that_cannot_be_filled_is_refused(site: Site) -> None:
    """The application is not run with a placeholder in the place of a secret, or without its file."""
    options = ("--mount", "memory", "--volume", f"data={site.home / 'data'}")
    site.post(_OWNER, _FILES + _ANY)
    for text, why in (
        ("$$SCONE::nobody$$", "session demo has no secret 'nobody'"),
        ("$$SCONE::password", "lacks its closing $$ in line 1 of /data/my.cnf"),
    ):
        site.output("demo/writer", text, options=options)
        done = site.run("demo/reader", options=options)
        assert (done.returncode, done.stdout) == (InputError.exit_code, ""), text
        assert why in done.stderr
        assert "sesame" not in done.stderr


def test_a_refusal_says_why(site: Site) -> None:
    """In the lines that users know: from the failure down to each measurement, and with whom it was spoken."""
    one, other = "5e753b24" * 8, "2b16b78f" * 8
    site.post(
        _OWNER,
        """
name: myPythonApp
version: "0.3.10"
access_policy: {create_sessions: [ANY]}
""",
    )
    site.post(
        _OWNER,
        f"""
name: myPythonApp/pythonapp
version: "0.3.10"
services: [{{name: python3, command: app, mrenclaves: [{one}, {other}]}}]
security: {{attestation: {{tolerate: [simulation]}}}}
""",
    )
    measured = site.run("x/y", SCONE_HASH="1").stdout.strip()
    done = site.run("myPythonApp/pythonapp/python3", SCONE_LOG="FATAL")
    assert (done.returncode, done.stdout) == (DeniedError.exit_code, "")
    address = site.enclave_address
    assert done.stderr.splitlines() == [
        "[SCONE|FATAL] Could not initialize enclave state: Attestation failed",
        (
            "  Caused by: CAS sent an attestation/configuration error: this enclave does not get the configuration of "
            "service python3 of session myPythonApp/pythonapp"
        ),
        "  Caused by: The program enclave is not trustworthy",
        "    Caused by: None of the required enclave properties are met by the enclave",
        "    Caused by: Not all of the required enclave properties are met by the enclave",
        "    Caused by: None of the required enclave properties are met by the enclave",
        f"    Error 1 of 2: Unexpected enclave measurement (MRENCLAVE, {measured}) - Expected {one}",
        f"    Error 2 of 2: Unexpected enclave measurement (MRENCLAVE, {measured}) - Expected {other}",
        (
            f"Note: Connecting to CAS at {address.host} (port {address.port}) using service ID "
            "myPythonApp/pythonapp/python3"
        ),
    ]


def test_a_start_with_second_factors(site: Site) -> None:
    """The one-time password is appended to the service, the access token is a variable; both have to be right."""
    shared = "BASE32SECRET3232BASE32SECRET3232"
    site.post(
        _OWNER,
        f"""
name: demo
version: "0.3.10"
services: [{{name: app, command: [/bin/sh, -c, 'echo "ran with $1"', sh, "@@1"]}}]
security:
  service_access_token: j765WyMWTKksiqWbBuuc
  attestation: {{mode: none, one_time_password_shared_secret: {shared}}}
""",
    )

    def password() -> str:
        return one_time_password(shared_secret(Secret(shared.encode())), dt.datetime.now(dt.UTC))

    token = {"SCONE_SERVICE_ACCESS_TOKEN": "j765WyMWTKksiqWbBuuc"}
    for config_id, variables, why in (
        ("demo/app@123456", {}, "the service access token is missing"),
        ("demo/app@123456", {"SCONE_SERVICE_ACCESS_TOKEN": "guess"}, "the service access token is wrong"),
        ("demo/app", token, "a one-time password, and none came"),
    ):
        done = site.run(config_id, "x", **variables)
        assert (done.returncode, done.stdout) == (DeniedError.exit_code, "")
        assert why in done.stderr
        assert "using service ID demo/app\n" in done.stderr
    good = f"demo/app@{password()}"
    assert site.output(good, "42", **token) == "ran with 42\n"
    done = site.run(good, "42", **token)
    assert "was used already" in done.stderr


def test_a_refusal_names_what_differs_where_it_is_known(site: Site) -> None:
    """The host keeps the measurement tree beside the hash; another heap is a difference that it can name."""
    kept = site.home / "measurements"
    kept.mkdir()
    expected = site.run("x/y", SCONE_HASH="1", SCONE_HEAP="512M", BANNOCK_MEASUREMENTS=str(kept)).stdout.strip()
    assert [path.name for path in kept.iterdir()] == [f"{expected}.json"]
    (kept / f"{'5e753b24' * 8}.json").write_text("nonsense")
    site.post(
        _OWNER,
        f"""
name: demo
version: "0.3.10"
services: [{{name: app, command: app, mrenclaves: [{expected}, {"5e753b24" * 8}, {"2b16b78f" * 8}]}}]
security: {{attestation: {{tolerate: [simulation]}}}}
""",
    )
    done = site.run("demo/app", SCONE_LOG="FATAL", SCONE_HEAP="760M", BANNOCK_MEASUREMENTS=str(kept))
    lines = done.stderr.splitlines()
    place = lines.index(f"    What differs from {expected}:")
    assert lines[place + 1] == "      SCONE_HEAP 760M, expected 512M"
    assert lines[place + 2].startswith("Note: Connecting to CAS")
