"""What ssh is told of a host."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from bannock.errors import InputError
from bannock.execution.hosts.target import SshTarget, checked_alias, checked_hostname, checked_user

if TYPE_CHECKING:
    from pathlib import Path


def _target(directory: Path) -> SshTarget:
    return SshTarget(
        alias="caroline",
        hostname="1.2.3.4",
        port=2222,
        user="ubuntu",
        key=directory / "key",
        known_hosts=directory / "known",
    )


@pytest.mark.parametrize("text", ["caroline", "c", "0.a_b-c"])
def test_aliases(text: str) -> None:
    """An alias is a plain word."""
    assert checked_alias(text) == text


@pytest.mark.parametrize("text", ["", "-x", ".hidden", "..", "a/b", "A", "a b", "a\n", "a" * 64, "*", "ä"])
def test_no_aliases(text: str) -> None:
    """What could mean something to ssh, to a shell or to a file system is no alias."""
    with pytest.raises(InputError, match="alias"):
        checked_alias(text)


@pytest.mark.parametrize("text", ["-oProxyCommand=x", "", "a b", "a;b", "$(x)", "a\n", "-"])
def test_no_users(text: str) -> None:
    """An option is no user."""
    with pytest.raises(InputError, match="user"):
        checked_user(text)


@pytest.mark.parametrize(
    ("text", "plain"),
    [("1.2.3.4", "1.2.3.4"), ("host.example", "host.example"), ("[::1]", "::1"), ("fe80::0001", "fe80::1")],
)
def test_hostnames(text: str, plain: str) -> None:
    """Names and addresses of both kinds are taken."""
    assert checked_hostname(text) == plain


@pytest.mark.parametrize("text", ["-oProxyCommand=x", "", "a b", "a..b", "u@host", "host:22", "$(x)", "a'b", "a\n"])
def test_no_hostnames(text: str) -> None:
    """What ssh or a shell would understand otherwise is no host name."""
    with pytest.raises(InputError):
        checked_hostname(text)


@pytest.mark.parametrize("name", ["plain", "a b", "100%d", "ä'$HOME"])
def test_ssh_finds_files_in_any_directory(tmp_path: Path, name: str) -> None:
    """The words mean to ssh what they say, whatever the directory of the configuration is called."""
    if shutil.which("ssh") is None:
        pytest.skip("needs openssh-client")
    target = _target(tmp_path / name)
    told = subprocess.check_output([*target.words(seconds=7), "-G", *target.place], text=True)
    options = dict(line.split(" ", 1) for line in told.splitlines())
    # A key's name is expanded when the key is used.
    assert options["identityfile"] == str(target.key).replace("%", "%%")
    assert options["userknownhostsfile"] == str(target.known_hosts)
    assert (options["user"], options["hostname"], options["port"]) == ("ubuntu", "1.2.3.4", "2222")
    assert options["stricthostkeychecking"] in ("yes", "true")
    assert options["hostkeyalias"] == "caroline"
    assert options["connecttimeout"] == "7"
    assert "accept-new" in " ".join(target.words(seconds=7, pin=True))


def test_directories_that_ssh_cannot_name(tmp_path: Path) -> None:
    """A directory that cannot be written in ssh's language is refused."""
    with pytest.raises(InputError, match="ssh cannot use files"):
        _target(tmp_path / 'a"b').words(seconds=1)
