"""Many small files: made, removed, walked, unpacked, versioned, and imported by an interpreter."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from benchmarks.goals import Unit
from benchmarks.shield.places import settle
from benchmarks.shield.results import RowInfo
from benchmarks.shield.workload import FOUR, timed

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from benchmarks.shield.places import Place
    from benchmarks.shield.workload import Measured, Setting

__all__ = ["GitCheckout", "PythonStart", "SmallFiles", "Untar", "Walk", "make_tree", "walk"]

_FILES_PER_DIRECTORY: Final = 100
_SMALL_BYTES: Final = 1024
_WALKED_BYTES: Final = 100
_STANDARD_LIBRARY: Final = Path(sysconfig.get_path("stdlib"))
_NOT_UNPACKED: Final = {"site-packages", "dist-packages", "__pycache__"}
#: Modules that bring about a hundred and fifty others with them.
_IMPORTED: Final = (
    "argparse, asyncio, concurrent.futures, csv, ctypes, datetime, decimal, difflib, email.message, email.parser, "
    "fractions, ftplib, glob, gzip, hashlib, html.parser, http.client, http.server, inspect, json, logging.config, "
    "multiprocessing, optparse, pathlib, pdb, pickle, platform, pprint, queue, random, shelve, shutil, sqlite3, "
    "statistics, string, subprocess, tarfile, tempfile, textwrap, threading, timeit, traceback, typing, unittest, "
    "urllib.request, uuid, wave, xml.dom.minidom, xml.etree.ElementTree, xmlrpc.client, zipfile, zoneinfo"
)


class SmallFiles:
    """Files are made, with a little in them and with nothing, and removed; what was done is on the disk at the end."""

    name = "small-files"
    contenders = FOUR
    fresh = True
    once = False

    def rows(self, setting: Setting) -> Mapping[str, RowInfo]:
        count = f"{setting.sizes.small_files:,}"
        return {
            "create": RowInfo(f"create {count} files of 1 KiB, sync", Unit.SECONDS),
            "delete": RowInfo(f"delete {count} files of 1 KiB, sync", Unit.SECONDS),
            "create-empty": RowInfo(f"create {count} empty files, sync", Unit.SECONDS),
        }

    def prepare(self, setting: Setting, place: Place) -> None:
        """Nothing is needed."""

    def measure(self, setting: Setting, place: Place) -> Iterator[Measured]:
        full, empty = place.root / "full", place.root / "empty"
        settle(place)
        with timed() as creating:
            make_tree(full, setting.sizes.small_files, _SMALL_BYTES)
            settle(place)
        yield "create", creating.seconds
        with timed() as deleting:
            _remove_tree(full)
            settle(place)
        yield "delete", deleting.seconds
        with timed() as creating:
            make_tree(empty, setting.sizes.small_files, 0)
            settle(place)
        yield "create-empty", creating.seconds


class Walk:
    """A tree is walked, every file looked at."""

    name = "walk"
    contenders = FOUR
    fresh = False
    once = False

    def rows(self, setting: Setting) -> Mapping[str, RowInfo]:
        count = f"{setting.sizes.walked_files:,}"
        return {
            "walk-cold": RowInfo(f"walk a tree of {count} files, cold", Unit.SECONDS),
            "walk-warm": RowInfo(f"walk a tree of {count} files again", Unit.SECONDS),
        }

    def prepare(self, setting: Setting, place: Place) -> None:
        make_tree(place.root / "tree", setting.sizes.walked_files, _WALKED_BYTES)

    def measure(self, setting: Setting, place: Place) -> Iterator[Measured]:
        tree = place.root / "tree"
        if setting.cool(place):
            yield "walk-cold", _walk(tree)
        else:
            _walk(tree)
        yield "walk-warm", _walk(tree)


class Untar:
    """A source tree is unpacked: Python's own library."""

    name = "untar"
    contenders = FOUR
    fresh = True
    once = False

    def rows(self, setting: Setting) -> Mapping[str, RowInfo]:
        count = len(_source_files(setting))
        return {"untar": RowInfo(f"untar Python's library ({count:,} files), sync", Unit.SECONDS)}

    def prepare(self, setting: Setting, place: Place) -> None:
        """Make the archive, which stays in the kernel's cache."""
        _source_archive(setting).read_bytes()

    def measure(self, setting: Setting, place: Place) -> Iterator[Measured]:
        with timed() as watch:
            _untar(setting, place.root)
            settle(place)
        yield "untar", watch.seconds


class PythonStart:
    """An interpreter starts whose library is in the place, and imports a good part of it."""

    name = "python"
    contenders = FOUR
    fresh = False
    once = False

    def rows(self, setting: Setting) -> Mapping[str, RowInfo]:
        return {
            "python-cold": RowInfo("start Python, import 50 modules, cold", Unit.SECONDS),
            "python-warm": RowInfo("start Python, import 50 modules again", Unit.SECONDS),
        }

    def prepare(self, setting: Setting, place: Place) -> None:
        target = place.root / sys.platlibdir / _STANDARD_LIBRARY.name
        leave = shutil.ignore_patterns("site-packages", "dist-packages", "test", "tests", "__pycache__", "config-*")
        shutil.copytree(_STANDARD_LIBRARY, target, ignore=leave)
        _start_python(place.root, write=True)
        settle(place)

    def measure(self, setting: Setting, place: Place) -> Iterator[Measured]:
        if setting.cool(place):
            yield "python-cold", _start_python(place.root)
        else:
            _start_python(place.root)
        yield "python-warm", _start_python(place.root)


class GitCheckout:
    """A repository is cloned, and asked what is changed in it."""

    name = "git"
    contenders = FOUR
    fresh = True
    once = False

    def rows(self, setting: Setting) -> Mapping[str, RowInfo]:
        if shutil.which("git") is None:
            return {}
        count = f"{len(_source_files(setting)):,}"
        return {
            "git-clone": RowInfo(f"git clone, {count} files, sync", Unit.SECONDS),
            "git-status-cold": RowInfo(f"git status, {count} files, cold", Unit.SECONDS),
        }

    def prepare(self, setting: Setting, place: Place) -> None:
        """Make the repository, which stays in the kernel's cache."""
        repository = setting.work / "repository"
        if not repository.exists():
            repository.mkdir()
            _untar(setting, repository)
            _git(repository, "init", "-q")
            _git(repository, "add", ".")
            _git(repository, "-c", "user.name=bench", "-c", "user.email=bench@localhost", "commit", "-q", "-m", "all")

    def measure(self, setting: Setting, place: Place) -> Iterator[Measured]:
        clone = place.root / "clone"
        with timed() as watch:
            _git(setting.work, "clone", "-q", "--no-hardlinks", str(setting.work / "repository"), str(clone))
            settle(place)
        yield "git-clone", watch.seconds
        # The index knows the files as they are from here on, whatever the mount says of them after it is mounted anew.
        _git(setting.work, "-C", str(clone), "status", "--short")
        if setting.cool(place):
            _git(setting.work, "--version")
            with timed() as watch:
                _git(setting.work, "-C", str(clone), "status", "--short")
            yield "git-status-cold", watch.seconds


def make_tree(top: Path, files: int, size: int) -> None:
    """Make files of some bytes each, a hundred to a directory."""
    data = os.urandom(size)
    top.mkdir()
    for number in range(files):
        directory = f"{top}/{number // _FILES_PER_DIRECTORY:05}"
        if number % _FILES_PER_DIRECTORY == 0:
            os.mkdir(directory)  # noqa: PTH102 # the benchmark's own time should be small beside what it measures
        descriptor = os.open(f"{directory}/file{number:07}", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        if data:
            os.write(descriptor, data)
        os.close(descriptor)


def walk(top: Path) -> int:
    """Look at every file below a directory, and return how many there are."""
    count = 0
    for directory, _, files in os.walk(top):
        for name in files:
            os.lstat(f"{directory}/{name}")
        count += len(files)
    return count


def _walk(top: Path) -> float:
    with timed() as watch:
        walk(top)
    return watch.seconds


def _remove_tree(top: Path) -> None:
    shutil.rmtree(top)


def _source_files(setting: Setting) -> list[Path]:
    wanted = setting.sizes.source_packages
    tops = [_STANDARD_LIBRARY] if wanted is None else [_STANDARD_LIBRARY / name for name in wanted]
    return [
        path
        for top in tops
        for path in sorted(top.rglob("*"))
        if path.is_file() and not _NOT_UNPACKED.intersection(path.relative_to(_STANDARD_LIBRARY).parts)
    ]


def _source_archive(setting: Setting) -> Path:
    path = setting.work / "source.tar"
    if not path.exists():
        with tarfile.open(path, "w") as archive:
            for file in _source_files(setting):
                archive.add(file, file.relative_to(_STANDARD_LIBRARY))
    return path


def _untar(setting: Setting, target: Path) -> None:
    command = ["tar", "-x", "-f", str(_source_archive(setting)), "-C", str(target)]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL, cwd="/")


def _start_python(home: Path, *, write: bool = False) -> float:
    """Start the interpreter with its library in a directory, and return the seconds until it has ended."""
    program = f"import {_IMPORTED}; import os; assert os.__file__.startswith({str(home)!r}), os.__file__"
    environment = {"PYTHONHOME": str(home), "PATH": os.environ.get("PATH", "")}
    if not write:
        environment["PYTHONDONTWRITEBYTECODE"] = "1"
    interpreter = getattr(sys, "_base_executable", sys.executable)
    with timed() as watch:
        subprocess.run(
            [interpreter, "-s", "-S", "-c", program], check=True, env=environment, cwd="/", stdin=subprocess.DEVNULL
        )
    return watch.seconds


def _git(directory: Path, *arguments: str) -> None:
    nobody = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    environment = nobody | {"PATH": os.environ.get("PATH", "")}
    # Not with cwd=: whoever waits there would keep the mount busy.
    command = ["git", "-c", "safe.directory=*", "-c", "gc.auto=0", "-C", str(directory), *arguments]
    subprocess.run(command, check=True, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, cwd="/")
