"""What end-to-end tests do to this machine: run the command as a user would, as root or not, and look everywhere."""

from __future__ import annotations

import filecmp
import os
import shutil
import stat
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

REPOSITORY: Final = Path(__file__).parent.parent.parent
_NOBODY: Final = 65534
_POLL_SECONDS: Final = 0.02


@dataclass(frozen=True)
class User:
    """Who runs the command: an interpreter that has Bannock, and what is put before it."""

    python: str
    prefix: tuple[str, ...] = ()

    def command(self, *arguments: str) -> list[str]:
        """Return the command line of ``bannock`` with these arguments."""
        return [*self.prefix, self.python, "-I", "-m", "bannock.cli.bannock", *arguments]


def ourselves() -> User:
    """Return the user who runs the tests."""
    return User(sys.executable)


def nobody(directory: Path) -> User | None:
    """Return a user without rights, with an environment of their own below ``directory``; None if there can be none.

    The environment of the tests may be in a place that only root can enter, so it is copied.
    """
    if os.geteuid() != 0:
        return ourselves()
    # By a shell, because setpriv itself still has root's rights over files when it starts a program.
    prefix = ("setpriv", f"--reuid={_NOBODY}", f"--regid={_NOBODY}", "--clear-groups", "sh", "-c", 'exec "$@"', "sh")
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    for base in (os.path.realpath(sys.executable), f"/usr/bin/{version}"):
        if (
            not Path(base).exists()
            or subprocess.run([*prefix, base, "-c", ""], capture_output=True, check=False).returncode
        ):
            continue
        target = directory / "environment"
        subprocess.run([base, "-m", "venv", "--without-pip", str(target)], check=True)
        packages = target / "lib" / version / "site-packages"
        here = Path(sys.prefix) / "lib" / version / "site-packages"
        shutil.copytree(
            here, packages, dirs_exist_ok=True, ignore=shutil.ignore_patterns("mypy*", "pip*", "__editable__*")
        )
        shutil.copytree(REPOSITORY / "src" / "bannock", packages / "bannock", dirs_exist_ok=True)
        return User(str(target / "bin" / "python"), prefix)
    return None


def run(user: User, arguments: Sequence[str], *, home: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run ``bannock`` with an environment that holds nothing but a home, a place for temporary files, and these."""
    environment = {"HOME": str(home), "TMPDIR": str(home / "tmp"), "PATH": os.defpath, **variables}
    return subprocess.run(
        user.command(*arguments), env=environment, cwd=home, capture_output=True, text=True, check=False, timeout=300
    )


def home_of(user: User, directory: Path) -> Path:
    """Make a home for a user."""
    home = directory / "home"
    (home / "tmp").mkdir(parents=True)
    if user.prefix:
        for path in (home, home / "tmp"):
            os.chown(path, _NOBODY, _NOBODY)
    return home


@dataclass
class Watch:
    """Looks for words in files and on command lines while something runs; a context manager."""

    words: Sequence[bytes]
    places: Sequence[Path]
    found: set[str] = field(default_factory=set)
    _stop: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self.look()

    def _run(self) -> None:
        while not self._stop.wait(_POLL_SECONDS):
            self.look()

    def look(self) -> None:
        """Look once."""
        for path in (*_files(self.places), *Path("/proc").glob("[0-9]*/cmdline")):
            try:
                content = path.read_bytes()
            except OSError:
                continue
            # A name can give away as much as a content.
            self.found |= {f"{path}: {word!r}" for word in self.words if word in content or word in os.fsencode(path)}


def _files(places: Iterable[Path]) -> Iterator[Path]:
    for place in places:
        for directory, _, names in os.walk(place):
            for name in names:
                path = Path(directory, name)
                if path.is_file() and not path.is_symlink():
                    yield path


def differences(one: Path, other: Path) -> list[str]:
    """Compare two trees: names, types, permissions, times, link targets, hard links and every byte."""
    lines = []
    left, right = _tree(one), _tree(other)
    for name in sorted(left.keys() | right.keys()):
        if name not in left or name not in right:
            lines.append(f"{name}: only in one of them")
        elif (difference := _compare(left[name], right[name])) is not None:
            lines.append(f"{name}: {difference}")
    return lines


def _tree(root: Path) -> dict[str, Path]:
    found = {}
    for directory, directories, names in os.walk(root):
        for name in (*directories, *names):
            path = Path(directory, name)
            found[str(path.relative_to(root))] = path
    return found


def _compare(one: Path, other: Path) -> str | None:
    left, right = one.lstat(), other.lstat()
    if left.st_mode != right.st_mode:
        return f"mode {left.st_mode:o} and {right.st_mode:o}"
    if stat.S_ISLNK(left.st_mode):
        return None if one.readlink() == other.readlink() else "link targets differ"
    if stat.S_ISREG(left.st_mode):
        if left.st_mtime_ns != right.st_mtime_ns or left.st_nlink != right.st_nlink:
            return "time or number of links differ"
        return None if filecmp.cmp(one, other, shallow=False) else "contents differ"
    return None
