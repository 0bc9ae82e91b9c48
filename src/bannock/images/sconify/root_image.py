"""A file-system image (``docs/formats/binary-fs.md``) of files that a container image has: every file is measured."""

from __future__ import annotations

import fnmatch
import os
import posixpath
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bannock.errors import EnvironmentFault, InputError
from bannock.images.digests import BLOCK
from bannock.images.sconify.options import IMAGE_DIRECTORY
from bannock.shield.image_writer import plan_image, write_image

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bannock.images.blobs import Scratch
    from bannock.images.sconify.options import SconifyOptions
    from bannock.images.tree import Found, Tree

__all__ = ["ROOT_IMAGE", "write_root_image"]

ROOT_IMAGE: Final = f"{IMAGE_DIRECTORY}/libbinary-fs.so"
#: What is part of the image unless that is switched off: libraries that programs load later.
_LIBRARIES: Final = ("*.so", "*.so.*")
_LIBRARY_TREES: Final = ("/usr", "/lib", "/lib64", "/opt")
#: Program → where it has its own library.
_OF_PROGRAMS: Final = {"python": ("/usr/lib/python3*", "/usr/local/lib/python3*", "/usr/lib/python3")}


def write_root_image(tree: Tree, options: SconifyOptions, binary: str, scratch: Scratch) -> Path:
    """Write the image that the options ask for, and return where it is.

    Raises:
        InputError: a path that is named is not there.
        EnvironmentFault: the file system refuses.
    """
    root = Path(tempfile.mkdtemp(dir=scratch.directory))
    target = Path(scratch.directory) / "root-image"
    try:
        for found in _chosen(tree, options, binary):
            _extract(tree, found, root)
        plan = plan_image(root, host_paths=options.places.host_paths, preserve_links=True, keep_times=False)
        write_image(plan, target)
    except OSError as error:
        raise EnvironmentFault(f"cannot put a file-system image together: {error.strerror}") from error
    finally:
        shutil.rmtree(root, ignore_errors=True)
    return target


def _chosen(tree: Tree, options: SconifyOptions, binary: str) -> Iterator[Found]:
    places = options.places
    directories = [_existing(tree, "--fs-dir", path) for path in places.image_directories]
    paths = {_existing(tree, "--fs-file", path) for path in places.image_files}
    if options.image_defaults:
        program = posixpath.basename(binary)
        patterns = [each for name, trees in _OF_PROGRAMS.items() if program.startswith(name) for each in trees]
    for found in tree.walk("/"):
        if found.entry.kind not in {"file", "symlink"} or found.path in places.host_paths:
            continue
        wanted = found.path in paths or any(_below(found.path, each) for each in directories)
        if options.image_defaults and not wanted:
            wanted = any(fnmatch.fnmatch(found.path, f"{pattern}/*") for pattern in patterns) or _is_library(
                found.path
            )
        # Directories that are links in this distribution (/lib, /bin) have to be found.
        if wanted or (found.entry.kind == "symlink" and found.path.count("/") == 1):
            yield found


def _existing(tree: Tree, option: str, path: str) -> str:
    found = tree.find(path)
    if found is None:
        raise InputError(f"{option} {path}: there is no such path in the image")
    return found.path


def _is_library(path: str) -> bool:
    name = posixpath.basename(path)
    return path.startswith(_LIBRARY_TREES) and any(fnmatch.fnmatch(name, pattern) for pattern in _LIBRARIES)


def _below(path: str, directory: str) -> bool:
    return path == directory or path.startswith(f"{directory.rstrip('/')}/")


def _extract(tree: Tree, found: Found, root: Path) -> None:
    """Put one file below a directory; those above it are directories in the tree, so no link is followed."""
    place = Path(os.fsdecode(os.fsencode(root) + os.fsencode(found.path)))
    place.parent.mkdir(parents=True, exist_ok=True)
    if found.entry.kind == "symlink":
        place.symlink_to(found.entry.link)
        return
    with tree.layers[found.layer].content(found.entry) as source, place.open("wb") as target:
        shutil.copyfileobj(source, target, BLOCK)
    place.chmod(found.entry.mode & 0o777)
