"""File-system images (``docs/formats/binary-fs.md``) of files that a container image has: every file is measured.

An image is made once, as long as what goes into it stays the same.
"""

from __future__ import annotations

import fnmatch
import hashlib
import json
import os
import posixpath
import re
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from bannock.errors import EnvironmentFault, InputError
from bannock.images.digests import blocks
from bannock.images.sconify.options import IMAGE_DIRECTORY
from bannock.images.tree import Contents
from bannock.images.writer import LayerWriter
from bannock.shield.image_writer import plan_image, write_image

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bannock.images.blobs import Scratch
    from bannock.images.model import Layer
    from bannock.images.sconify.cache import SealCache
    from bannock.images.sconify.options import SconifyOptions
    from bannock.images.tree import Found, Tree

__all__ = ["RootImage", "root_images"]

_ROOT_IMAGE: Final = f"{IMAGE_DIRECTORY}/libbinary-fs.so"
#: What changes more often than all else, over it.
_OWN_IMAGE: Final = f"{IMAGE_DIRECTORY}/libown-fs.so"
#: As many as the kernel follows.
_LINKS_MAX: Final = 40
_FORMAT: Final = "bannock root image 1"
#: What is part of the image unless that is switched off: libraries that programs load later.
_LIBRARY_TREES: Final = ("/usr", "/lib", "/lib64", "/opt")
#: Program → where it has its own library.
_OF_PROGRAMS: Final = {
    "python": ("/usr/lib/python3*", "/usr/local/lib/python3*", "/usr/lib/python3"),
    # Debian's engine has modules of its own there, without which it does not start.
    "node": ("/usr/share/nodejs", "/usr/lib/nodejs", "/usr/lib/*/nodejs", "/usr/local/lib/node_modules"),
    "java": ("/usr/lib/jvm", "/opt/java", "/usr/local/openjdk*"),
    "perl": ("/usr/share/perl*", "/usr/lib/*/perl*", "/usr/local/share/perl", "/usr/local/lib/*/perl"),
    "ruby": ("/usr/lib/ruby", "/usr/lib/*/ruby", "/usr/share/ruby*", "/usr/local/lib/ruby", "/var/lib/gems"),
    "php": ("/usr/lib/php", "/usr/share/php", "/usr/local/lib/php"),
}


class RootImage(NamedTuple):
    """A file-system image.

    Attributes:
        path: where it is in the container image.
        layer: the layer with it, and nothing else.
    """

    path: str
    layer: Layer


def root_images(
    tree: Tree, options: SconifyOptions, binary: str, scratch: Scratch, cache: SealCache
) -> tuple[RootImage, ...]:
    """Make the images that the options ask for: one, and one of their own for directories that change more often.

    Raises:
        InputError: a path that is named is not there.
        EnvironmentFault: the file system refuses.
    """
    places = options.places
    own = [_existing(tree, "the directory", path) for path in places.own_directories]
    system: list[Found] = []
    often: list[Found] = []
    for found in _chosen(tree, options, binary, own):
        (often if any(_below(found.path, directory) for directory in own) else system).append(found)
    made = [_made(_ROOT_IMAGE, system, places.host_paths, tree, scratch, cache)]
    if often:
        made.append(_made(_OWN_IMAGE, often, (), tree, scratch, cache))
    return tuple(made)


def _made(
    path: str,
    chosen: Sequence[Found],
    host_paths: tuple[str, ...],
    tree: Tree,
    scratch: Scratch,
    cache: SealCache,
) -> RootImage:
    name = _name(path, chosen, host_paths, tree)
    if (known := cache.layer(name, scratch)) is not None:
        return RootImage(path, known[0])
    image = _written(chosen, host_paths, tree, scratch)
    try:
        with LayerWriter(scratch) as writer, image.open("rb") as content:
            writer.file(path, content, image.stat().st_size)
            layer = writer.finish()
    finally:
        image.unlink()
    cache.keep_layer(name, layer, {})
    return RootImage(path, layer)


def _name(path: str, chosen: Sequence[Found], host_paths: tuple[str, ...], tree: Tree) -> str:
    """Name an image by all that decides it: where its files are in layers whose digests are known."""
    what = [
        (found.path, tree.layers[found.layer].diff_id, found.entry.start, found.entry.kind, found.entry.link)
        for found in chosen
    ]
    document = json.dumps([_FORMAT, path, sorted(host_paths), what], separators=(",", ":"))
    return hashlib.sha256(document.encode("utf-8", "surrogateescape")).hexdigest()


def _written(chosen: Sequence[Found], host_paths: tuple[str, ...], tree: Tree, scratch: Scratch) -> Path:
    root = Path(tempfile.mkdtemp(dir=scratch.directory))
    target = Path(tempfile.mkdtemp(dir=scratch.directory)) / "root-image"
    try:
        with Contents(tree.layers) as contents:
            for found in chosen:
                _extract(contents, found, root)
        plan = plan_image(root, host_paths=host_paths, preserve_links=True, keep_times=False)
        write_image(plan, target)
    except OSError as error:
        raise EnvironmentFault(f"cannot put a file-system image together: {error.strerror}") from error
    finally:
        shutil.rmtree(root, ignore_errors=True)
    return target


def _chosen(tree: Tree, options: SconifyOptions, binary: str, own: Sequence[str]) -> Iterator[Found]:
    places = options.places
    directories = [*own, *(_existing(tree, "--fs-dir", path) for path in places.image_directories)]
    below = tuple(f"{directory.rstrip('/')}/" for directory in directories)
    paths = {*directories, *(each for path in places.image_files for each in _with_links(tree, path))}
    library = _library_of(binary) if options.image_defaults else None
    for found in tree.walk("/"):
        path = found.path
        if found.entry.kind not in {"file", "symlink"} or path in places.host_paths:
            continue
        wanted = path in paths or path.startswith(below)
        if library is not None and not wanted:
            wanted = library.match(path) is not None or _is_library(path)
        # Directories that are links in this distribution (/lib, /bin) have to be found.
        if wanted or (found.entry.kind == "symlink" and path.count("/") == 1):
            yield found


def _library_of(binary: str) -> re.Pattern[str]:
    """Return what a program's own library matches; nothing where it has none."""
    program = posixpath.basename(binary)
    patterns = [each for name, trees in _OF_PROGRAMS.items() if program.startswith(name) for each in trees]
    return re.compile("|".join(fnmatch.translate(f"{pattern}/*") for pattern in patterns) or r"(?!)")


def _existing(tree: Tree, option: str, path: str) -> str:
    found = tree.find(path)
    if found is None:
        raise InputError(f"{option} {path}: there is no such path in the image")
    return found.path


def _with_links(tree: Tree, path: str) -> Iterator[str]:
    """Yield the path of a file, and of each link that leads to it by the name that it is called."""
    yield _existing(tree, "--fs-file", path)
    for _ in range(_LINKS_MAX):
        found = tree.find(path, follow=False)
        if found is None or found.entry.kind != "symlink":
            return
        yield found.path
        path = posixpath.join(posixpath.dirname(found.path), found.entry.link)


def _is_library(path: str) -> bool:
    name = posixpath.basename(path)
    return path.startswith(_LIBRARY_TREES) and (name.endswith(".so") or ".so." in name)


def _below(path: str, directory: str) -> bool:
    return path == directory or path.startswith(f"{directory.rstrip('/')}/")


def _extract(contents: Contents, found: Found, root: Path) -> None:
    """Put one file below a directory; those above it are directories in the tree, so no link is followed."""
    place = Path(os.fsdecode(os.fsencode(root) + os.fsencode(found.path)))
    place.parent.mkdir(parents=True, exist_ok=True)
    if found.entry.kind == "symlink":
        place.symlink_to(found.entry.link)
        return
    source = contents.at(found.layer, found.entry)
    with place.open("wb") as target:
        for block in blocks(source, found.entry.size):
            target.write(block)
    place.chmod(found.entry.mode & 0o777)
