"""The hosts of a configuration, and their keys."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from typing import TYPE_CHECKING

import pytest

from bannock.errors import InputError, NotFoundError
from bannock.execution.hosts.book import HostBook
from bannock.execution.hosts.key import pinned_fingerprints
from bannock.execution.hosts.record import HostRecord

if TYPE_CHECKING:
    from pathlib import Path

_CAROLINE = HostRecord(alias="caroline", hostname="1.2.3.4", user="ubuntu", added="2026-01-01T00:00:00+00:00")


def test_hosts_are_kept(private_path: Path) -> None:
    """What was added is there, by its alias, until it is removed."""
    book = HostBook(private_path)
    public = book.put(_CAROLINE)
    book.put(HostRecord(alias="bob", hostname="::1", user="root", port=22022))
    assert [host.alias for host in book.all()] == ["bob", "caroline"]
    assert HostBook(private_path).get("caroline") == _CAROLINE
    assert book.remove("caroline") == (_CAROLINE, public)
    assert [host.alias for host in book.all()] == ["bob"]
    assert not book.directory("caroline").exists()
    with pytest.raises(NotFoundError, match="there are local, bob") as caught:
        book.get("caroline")
    assert "add-host" in str(caught.value.hint)


def test_a_host_has_one_key_for_ever(private_path: Path) -> None:
    """A change of a host keeps its key, and another host has another one."""
    book = HostBook(private_path)
    public = book.put(_CAROLINE)
    assert book.put(HostRecord(alias="caroline", hostname="5.6.7.8", user="root")) == public
    assert book.get("caroline").hostname == "5.6.7.8"
    assert book.put(HostRecord(alias="bob", hostname="1.2.3.4", user="root")) != public


def test_private_files(private_path: Path) -> None:
    """Nobody else sees the key, and one that others can read is refused before it is used."""
    book = HostBook(private_path)
    book.put(_CAROLINE)
    key = book.directory("caroline") / "id_ed25519"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert stat.S_IMODE(key.parent.stat().st_mode) == 0o700
    key.chmod(0o640)
    with pytest.raises(InputError, match="open to others"):
        book.put(_CAROLINE)
    with pytest.raises(InputError, match="open to others"), book.open("caroline", {}):
        pass


def test_a_directory_that_others_look_into(private_path: Path) -> None:
    """A configuration that is open to others is refused."""
    (private_path / "identity.pem").touch()
    private_path.chmod(0o750)
    with pytest.raises(InputError, match="open to others"):
        HostBook(private_path).put(_CAROLINE)


def test_the_key_is_openssh_s(private_path: Path) -> None:
    """OpenSSH finds the public key in the private one that is also in the line."""
    book = HostBook(private_path)
    public = book.put(_CAROLINE)
    key = book.directory("caroline") / "id_ed25519"
    told = _ssh_keygen("-y", "-f", str(key))
    assert told.split()[:2] == public.split()[:2]
    assert public.startswith("ssh-ed25519 ")
    fingerprint = _ssh_keygen("-lf", f"{key}.pub").split()[1]
    assert pinned_fingerprints(f"caroline {public}\n".encode()) == (fingerprint,)


def test_this_machine_is_no_host_to_add(private_path: Path) -> None:
    """The alias of this machine cannot be given to another one."""
    with pytest.raises(InputError, match="local is this machine"):
        HostBook(private_path).put(HostRecord(alias="local", hostname="1.2.3.4", user="root"))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"format": 2, "alias": "caroline", "hostname": "h", "user": "u", "port": 22}',
        '{"format": 1, "alias": "caroline", "hostname": "-oProxyCommand=x", "user": "u", "port": 22}',
        '{"format": 1, "alias": "caroline", "hostname": "h", "user": "-l", "port": 22}',
        '{"format": 1, "alias": "caroline", "hostname": "h", "user": "u", "port": "22"}',
        '{"format": 1, "alias": "caroline", "hostname": "h", "user": "u", "port": true}',
        '{"format": 1, "alias": "caroline", "hostname": "h", "user": "u", "port": 0}',
        '{"format": 1, "alias": "caroline", "hostname": "h", "user": "u", "port": 22, "engine": "docker.sock"}',
        '{"format": 1, "alias": "caroline", "hostname": "h", "user": "u", "port": 22, "more": "x"}',
        "[" * 100_000,
    ],
)
def test_damaged_records(private_path: Path, text: str) -> None:
    """A record that somebody has changed for the worse is an error of the user's, and runs nothing."""
    book = HostBook(private_path)
    book.put(_CAROLINE)
    path = book.directory("caroline") / "host.json"
    path.write_text(text)
    with pytest.raises(InputError):
        book.get("caroline")


def test_this_machine(private_path: Path) -> None:
    """This machine runs programs, and its services are where they are."""
    with HostBook(private_path).open("local", os.environ) as machine:
        assert machine.run("sh", "-c", "cat; exit 3", stdin=b"x").out == b"x"
        assert machine.run("sh", "-c", "exit 3").code == 3
        assert machine.is_alive()
        with machine.stream("cat") as process:
            assert process.communicate(b"y")[0] == b"y"


def _ssh_keygen(*arguments: str) -> str:
    program = shutil.which("ssh-keygen")
    if program is None:
        pytest.skip("needs openssh-client")
    return subprocess.check_output([program, *arguments], text=True)
