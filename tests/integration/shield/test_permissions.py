"""Who may do what: a volume's modes and owners bind every user but root."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration.shield.hosting import Host

pytestmark = [pytest.mark.fuse, pytest.mark.root]

_USER, _GROUP, _OTHER_GROUP = 12_345, 23_456, 34_567


def as_user(program: str, directory: Path) -> str:
    """Run a line of Python as somebody without rights in a directory; return what it prints, or its error's name."""
    wrapped = f"""
import errno, os, stat, sys
os.chdir(sys.argv[1])
os.setgroups([{_OTHER_GROUP}])
os.setresgid({_GROUP}, {_GROUP}, {_GROUP})
os.setresuid({_USER}, {_USER}, {_USER})
try:
    {program}
except OSError as error:
    print(errno.errorcode[error.errno])
"""
    # Not by arguments of Popen: the interpreter itself may be where only root comes to.
    command = [sys.executable, "-c", wrapped, str(directory)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def test_modes_are_checked(host: Host) -> None:
    """A user reads, writes and enters what the mode lets that user, that group, or everybody."""
    for name, mode, uid, gid in (
        ("secret", 0o600, 0, 0),
        ("own", 0o600, _USER, 0),
        ("group", 0o640, 0, _GROUP),
        ("other group", 0o660, 0, _OTHER_GROUP),
        ("public", 0o644, 0, 0),
    ):
        (host.path / name).write_text(name)
        (host.path / name).chmod(mode)
        os.chown(host.path / name, uid, gid)
    (host.path / "closed").mkdir(mode=0o700)
    (host.path / "closed/file").write_text("unseen")
    read, write = "print(open({!r}).read())", "print(open({!r}, 'a').write('x'))"
    found = {
        name: (as_user(read.format(name), host.path), as_user(write.format(name), host.path))
        for name in ("secret", "own", "group", "other group", "public", "closed/file", "new")
    }
    assert found == {
        "secret": ("EACCES", "EACCES"),
        "own": ("own", "1"),
        "group": ("group", "EACCES"),
        "other group": ("other group", "1"),
        "public": ("public", "EACCES"),
        "closed/file": ("EACCES", "EACCES"),
        "new": ("ENOENT", "EACCES"),
    }


def test_what_only_an_owner_may_do(host: Host) -> None:
    """Nobody else changes modes, owners and times, or removes from a directory with the sticky bit."""
    host.path.chmod(0o1777)
    (host.path / "file").write_text("text")
    (host.path / "file").chmod(0o666)
    assert as_user("os.chmod('file', 0o777)", host.path) == "EPERM"
    assert as_user(f"os.chown('file', {_USER}, -1)", host.path) == "EPERM"
    assert as_user("os.utime('file', (1, 1))", host.path) == "EPERM"
    assert as_user("os.utime('file')", host.path) == ""
    assert as_user("os.unlink('file')", host.path) == "EPERM"
    assert as_user("os.rename('file', 'new')", host.path) == "EPERM"
    assert as_user("open('own', 'w'); os.chmod('own', 0o600); os.rename('own', 'file')", host.path) == "EPERM"
    assert as_user(f"os.chown('own', -1, {_OTHER_GROUP}); os.unlink('own')", host.path) == ""


def test_who_makes_something_owns_it(host: Host) -> None:
    """New files belong to their maker, under the maker's mask, and to the directory's group if that is asked for."""
    host.path.chmod(0o777)
    as_user(
        "os.umask(0o027); open('file', 'w'); os.mkdir('dir'); os.symlink('x', 'link'); os.open('low', 64, 0o444)",
        host.path,
    )
    (host.path / "shared").mkdir()
    os.chown(host.path / "shared", 0, _OTHER_GROUP)
    (host.path / "shared").chmod(0o2777)
    as_user("os.chdir('shared'); os.umask(0); open('file', 'w'); os.mkdir('dir'); os.symlink('x', 'link')", host.path)
    host.remount()
    assert {str(path.relative_to(host.path)): _who(path) for path in host.path.rglob("*")} == {
        "file": (0o640, _USER, _GROUP),
        "dir": (0o750, _USER, _GROUP),
        "link": (0o777, _USER, _GROUP),
        "low": (0o440, _USER, _GROUP),
        "shared": (0o2777, 0, _OTHER_GROUP),
        "shared/file": (0o666, _USER, _OTHER_GROUP),
        "shared/dir": (0o2777, _USER, _OTHER_GROUP),
        "shared/link": (0o777, _USER, _OTHER_GROUP),
    }


def _who(path: Path) -> tuple[int, int, int]:
    status = path.lstat()
    return stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid


@pytest.mark.parametrize("change", ["open('tool', 'ab').write(b'x')", "os.truncate('tool', 1)"])
def test_a_change_takes_away_who_a_program_runs_as(host: Host, change: str) -> None:
    """What anybody may write does not go on as a set-user-id program."""
    (host.path / "tool").write_bytes(b"program")
    (host.path / "tool").chmod(0o6777)
    assert as_user(change, host.path) == ""
    assert stat.S_IMODE((host.path / "tool").stat().st_mode) == 0o777
    (host.path / "tool").chmod(0o6777)
    os.chown(host.path / "tool", _USER, _GROUP)
    assert stat.S_IMODE((host.path / "tool").stat().st_mode) == 0o777
    host.remount()
    assert stat.S_IMODE((host.path / "tool").stat().st_mode) == 0o777
