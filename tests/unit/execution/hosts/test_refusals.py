"""What ssh says, in our words."""

from __future__ import annotations

from pathlib import Path

import pytest

from bannock.errors import BannockError, DeniedError, EnvironmentFault, InputError, PeerError
from bannock.execution.hosts.refusals import refusal
from bannock.execution.hosts.target import SshTarget

_TARGET = SshTarget(
    alias="caroline", hostname="1.2.3.4", port=22, user="ubuntu", key=Path("/k"), known_hosts=Path("/n")
)


@pytest.mark.parametrize(
    ("told", "family", "hint"),
    [
        ("ubuntu@1.2.3.4: Permission denied (publickey).", DeniedError, "eval"),
        ("ssh: Could not resolve hostname caroline.invalid: Name or service not known", InputError, ""),
        ("ssh: connect to host 1.2.3.4 port 22: Connection refused", EnvironmentFault, "--port"),
        ("ssh: connect to host 1.2.3.4 port 22: Connection timed out", EnvironmentFault, "--port"),
        ("", EnvironmentFault, "--port"),
        ("Host key verification failed.", PeerError, "check-host"),
        ("@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! @\nSHA256:abc.", PeerError, "--host-key"),
        ("@ WARNING: UNPROTECTED PRIVATE KEY FILE! @", InputError, "chmod 600 /k"),
    ],
)
def test_families(told: str, family: type[BannockError], hint: str) -> None:
    """Each refusal says whose fault it is, names the host, and says what to do."""
    error = refusal(_TARGET, told.splitlines(), said=False)
    assert type(error) is family
    assert "caroline" in error.message
    assert hint in str(error.hint)


def test_a_changed_key_is_shown() -> None:
    """The key that the host shows now is told, to be compared."""
    told = ["@@@@", "@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! @", "by the remote host is", "SHA256:abc."]
    assert refusal(_TARGET, told, said=False).reasons == ("it shows SHA256:abc",)


def test_a_shell_that_says_something_else() -> None:
    """A host that lets us in and runs something else than we ask for is the host's fault."""
    assert type(refusal(_TARGET, [], said=True)) is PeerError
