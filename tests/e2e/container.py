"""A stand-in for a container: a root of its own, made of the machine's, with directories where `-v` puts them.

Nothing of it is left when the script that runs in it has ended.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Final

from tests.e2e.machine import REPOSITORY

#: Entries of the machine's root that the container has for itself.
_OWN: Final = ("tmp", "etc", "mnt", "data", "app", "example", "tutorial")
_ENTER: Final = f"""\
set -eu
root=$1 script=$2; shift 2
mount --make-rprivate /
mount -t tmpfs -o mode=755 none "$root"
for entry in /*; do
    name=${{entry#/}}
    case " {" ".join(_OWN)} " in *" $name "*) continue;; esac
    if [ -L "$entry" ]; then cp -a "$entry" "$root/"
    elif [ -d "$entry" ]; then mkdir "$root/$name"; mount --rbind "$entry" "$root/$name"
    fi
done
cp -a /etc "$root/etc"
mkdir "$root/user" "$root/before"
mkdir -m 1777 "$root/tmp"
for pair in "$@"; do
    mkdir -p "$root/${{pair%%=*}}"
    mount --bind "${{pair#*=}}" "$root/${{pair%%=*}}"
done
cd "$root"
pivot_root . before
cd /
umount -l before
rmdir before
exec bash "$script"
"""
_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#: What the documentation's images have and this machine may not: a cross compiler, shasum, Python 2.
_PROLOGUE: Final = """\
export HOME=/user PATH=/tools:$PATH
scone() { if [ "$1" = gcc ]; then shift; cc "$@"; else command scone "$@"; fi; }
command -v shasum >/dev/null || shasum() { sha1sum "$@"; }
cd /user
"""


def run(directory: Path, script: str, **binds: Path) -> subprocess.CompletedProcess[str]:
    """Run a script with bash in a new container.

    Args:
        directory: for what the container needs outside; a new one for each.
        script: its commands. It goes on after one that fails, unless it says ``set -e``.
        binds: name of a directory in the container's root → directory of the machine.
    """
    tools = directory / "tools"
    (directory / "root").mkdir(parents=True)
    tools.mkdir()
    for name in ("bannock", "scone"):
        tool = tools / name
        tool.write_text(f'#!/bin/sh\nexec {sys.executable} -I -m bannock.cli.{name} "$@"\n')
        tool.chmod(0o755)
    (tools / "script").write_text(_PROLOGUE + script)
    (directory / "enter").write_text(_ENTER)
    places = {"tools": tools, **binds, **_needed()}
    return subprocess.run(
        [
            "/usr/bin/unshare",
            "--mount",
            "sh",
            str(directory / "enter"),
            str(directory / "root"),
            "/tools/script",
            *(f"{name}={path}" for name, path in places.items()),
        ],
        env={"PATH": _PATH, "LANG": "C.UTF-8", "PYTHON3": os.path.realpath(sys.executable)},
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
        timeout=300,
    )


def _needed() -> dict[str, Path]:
    """Return what of Python and of the repository is in a directory that the container has for itself."""
    wanted = (REPOSITORY, Path(sys.prefix), Path(sys.base_prefix))
    return {str(path)[1:]: path for path in wanted if path.parts[1] in _OWN}
