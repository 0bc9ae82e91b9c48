"""What the host may say to the runtime, above all whom to attest to and as what."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bannock.cli.run import main
from bannock.errors import InputError
from bannock.runtime.settings import attestation_of
from bannock.values import Secret

_CAS = {"SCONE_CAS_ADDR": "cas.example"}


@pytest.mark.parametrize(
    ("text", "session", "service", "password"),
    [
        ("demo/app", "demo", "app", None),
        ("my-company/project-1/hello-world/app", "my-company/project-1/hello-world", "app", None),
        ("scone:blender/blender", "scone:blender", "blender", None),
        ("ns~session/app", "ns~session", "app", None),
        ("demo/app@123456", "demo", "app", "123456"),
        ("ns/demo/app@000000", "ns/demo", "app", "000000"),
    ],
)
def test_config_ids(text: str, session: str, service: str, password: str | None) -> None:
    """The service is the last part, a session's name has its namespaces in it, and a one-time password may follow."""
    found = attestation_of({**_CAS, "SCONE_CONFIG_ID": text})
    assert (found.session, found.service, found.one_time_password) == (session, service, password)
    assert found.service_id == f"{session}/{service}"


@pytest.mark.parametrize(
    "text", ["demo", "/app", "demo/", "demo/@987654", "demo/app@", "demo/app@98765", "demo/app@98765x"]
)
def test_config_ids_that_are_none(text: str) -> None:
    """The message repeats what a password might be in no case."""
    with pytest.raises(InputError) as caught:
        attestation_of({**_CAS, "SCONE_CONFIG_ID": text})
    assert "9876" not in str(caught.value)


def test_the_access_token_shows_itself_nowhere() -> None:
    """Nor does the one-time password."""
    found = attestation_of(
        {**_CAS, "SCONE_CONFIG_ID": "demo/app@123456", "SCONE_SERVICE_ACCESS_TOKEN": "canary-token"}
    )
    assert found.access_token == Secret(b"canary-token")
    assert "canary" not in repr(found)
    assert "123456" not in repr(found)


@pytest.mark.parametrize(("text", "seconds"), [("", 600.0), ("0", 0.0), ("90", 90.0), ("0.5", 0.5)])
def test_patience(text: str, seconds: float) -> None:
    """How long a service waits for its CAS is the operator's choice."""
    found = attestation_of({**_CAS, "SCONE_CONFIG_ID": "demo/app", "BANNOCK_CAS_PATIENCE": text})
    assert found.patience_seconds == seconds


@pytest.mark.parametrize("text", ["-1", "nan", "inf", "ten", "1e9"])
def test_patience_is_bounded(text: str) -> None:
    """What is no number of seconds is named."""
    with pytest.raises(InputError, match="BANNOCK_CAS_PATIENCE"):
        attestation_of({**_CAS, "SCONE_CONFIG_ID": "demo/app", "BANNOCK_CAS_PATIENCE": text})


def test_the_page_and_the_help_name_the_same_variables(capsys: pytest.CaptureFixture[str]) -> None:
    """docs/services.md has what ``bannock run --help`` has."""
    with pytest.raises(SystemExit):
        main(["--help"])
    page = (Path(__file__).parents[3] / "docs" / "services.md").read_text(encoding="utf-8")
    rows = "".join(line.split("|")[1] for line in page.splitlines() if line.startswith("| `"))
    names = re.compile(r"\b(?:SCONE|BANNOCK)_[A-Z_]+")
    assert set(names.findall(rows)) == set(names.findall(capsys.readouterr().out))
