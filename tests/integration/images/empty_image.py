"""An image with nothing in it but one program, as a directory: it stands for a container, and needs no engine."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING

from bannock.identity.layout import LAUNCHER, LAUNCHER_MODE, original_path
from bannock.identity.measured import start_of
from bannock.identity.reader import RootedReader

if TYPE_CHECKING:
    from bannock.images.tar_layer import BuiltLayer

__all__ = ["EmptyImage"]

#: As an engine starts a container, with /proc and nothing else mounted.
_ENTER = """\
import json, os, sys
from bannock import linux

root, user, environment, *words = sys.argv[1:]
linux.unshare(linux.CLONE_NEWNS)
linux.mount(None, "/", None, linux.MS_REC | linux.MS_PRIVATE)
linux.mount(root, root, None, linux.MS_BIND)
linux.mount("proc", f"{root}/proc", "proc", 0)
linux.enter_root(root)
os.setgroups([])
os.setresgid(int(user), int(user), int(user))
os.setresuid(int(user), int(user), int(user))
os.execve(words[0], words, json.loads(environment))
"""


class EmptyImage:
    """A program with its libraries, and later the runtime's layer over them."""

    def __init__(self, root: Path, program: str) -> None:
        self.root = root
        self.program = program
        start = start_of(program, RootedReader(Path("/")))
        for path in start.files:
            if not path.startswith("/etc/"):
                self._add(path, Path(path))
        for name, path in start.links.items():
            if not path.startswith("/etc/"):
                self._add(name, Path(path))
        (root / "proc").mkdir(exist_ok=True)

    def protect(self, layer: BuiltLayer) -> None:
        """Put the runtime's layer on, and the launcher in the program's place."""
        with tarfile.open(layer.path) as archive:
            archive.extractall(self.root, filter="tar")
        place = self.root / self.program[1:]
        aside = self.root / original_path(self.program)[1:]
        aside.parent.mkdir(parents=True)
        place.rename(aside)
        place.write_bytes(LAUNCHER)
        place.chmod(LAUNCHER_MODE)

    def run(self, *arguments: str, user: int = 0, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run the program as the first one of a container, and nothing but what is in the image."""
        words = [str(self.root), str(user), json.dumps(environment), self.program, *arguments]
        return subprocess.run(
            [sys.executable, "-c", _ENTER, *words], capture_output=True, text=True, check=False, timeout=60
        )

    def _add(self, name: str, source: Path) -> None:
        place = self.root / name[1:]
        place.parent.mkdir(parents=True, exist_ok=True)
        if not place.exists():
            shutil.copy(source, place)
