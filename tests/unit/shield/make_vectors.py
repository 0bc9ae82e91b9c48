"""Make the vectors of the volume format anew: ``python -m tests.unit.shield.make_vectors``.

The bytes depend on the order in which a writer uses its random numbers, slots and pages, so another writer, or a later
version of this one, makes other volumes that are as good. Vectors that were published stay as they are: they have to
open for ever.
"""

from __future__ import annotations

import base64
import json
import os
import stat
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from bannock.shield.regions import Protection
from bannock.shield.volume import Volume
from tests.unit.shield.support import KEY, deterministic, find, look, make_directory, make_file, take, ticking

if TYPE_CHECKING:
    from collections.abc import Callable

VECTORS = Path(__file__).parent / "vectors"


def _small(volume: Volume) -> None:
    """Make one file of each kind, and everything that a file can have, in a tree of one page."""
    make_file(volume, b"hello.txt", b"Hello World\n", chunk=1 << 16)
    make_file(volume, b"chunks", bytes(range(200)), chunk=64, mode=0o600)
    ino = make_file(volume, b"hole", b"begin", chunk=64)
    volume.inodes.write(ino, 300, b"end")
    volume.inodes.truncate(ino, 1000)
    make_file(volume, b"empty", mode=0o444)
    volume.names.link(find(volume, b"chunks"), make_directory(volume, b"directory/below"), b"hard link")
    volume.names.symlink(1, b"link", b"directory/below")
    make_file(volume, b"directory/removed", b"removed later", chunk=64)
    volume.commit()
    volume.inodes.write(find(volume, b"chunks"), 60, b"over the end of a chunk")
    volume.names.rename(1, b"hello.txt", find(volume, b"directory"), "grüße.txt".encode())
    volume.names.unlink(find(volume, b"directory"), b"removed")


def _inner_pages(volume: Volume) -> None:
    """Make a tree of several pages."""
    for number in range(40):
        make_file(volume, b"%d" % number * 30, b"%d" % number * 3, chunk=64)
    volume.names.symlink(1, b"long link", b"target/" * 500)
    volume.commit()
    for number in range(0, 40, 3):
        volume.names.unlink(1, b"%d" % number * 30)


def _first_state(volume: Volume) -> None:
    """Make nothing but the root directory; this is the smallest volume."""
    assert stat.S_ISDIR(volume.inodes.get(1).mode)


def _authenticated(volume: Volume) -> None:
    """Make files that are authenticated and not encrypted, under shorter keys."""
    make_file(volume, b"file", b"in clear, and every change is found out", chunk=64)
    make_file(volume, b"directory/longer", bytes(range(256)), chunk=100)
    volume.commit()
    volume.inodes.write(find(volume, b"file"), 3, b"CLEAR")


_MAKERS: dict[str, Callable[[Volume], None]] = {
    "small": _small, "inner-pages": _inner_pages, "first-state": _first_state,
    "authenticated": _authenticated,
}  # fmt: skip


def _text(name: bytes) -> str:
    return os.fsdecode(name)


def _vector(make: Callable[[Volume], None], seed: str) -> dict[str, object]:
    with tempfile.TemporaryDirectory() as base:
        directory = Path(base) / "volume"
        protection, key_bytes = (
            (Protection.AUTHENTICATED, 16) if make is _authenticated else (Protection.ENCRYPTED, 32)
        )
        with Volume.create(
            directory, KEY, protection=protection, key_bytes=key_bytes,
            random=deterministic(seed.encode()), clock=ticking(),
        ) as volume:  # fmt: skip
            make(volume)
            before = volume.tag
            tag = volume.commit()
            content = {
                _text(path): {
                    "mode": f"{seen.mode:o}",
                    "links": seen.links,
                    "modified": volume.inodes.get(find(volume, path)).modified,
                    "content": base64.b64encode(seen.content).decode(),
                }
                for path, seen in look(volume).items()
            }
        files = {_text(name): base64.b64encode(data).decode() for name, data in sorted(take(directory).items())}
    tags = {"tag": str(tag), "tag-before": before and str(before)}
    return {"key": KEY.reveal_hex(), **tags, "files": files, "content": content}


def main() -> None:
    """Write one file for each vector that is not there yet."""
    VECTORS.mkdir(exist_ok=True)
    for name, make in _MAKERS.items():
        if (VECTORS / f"{name}.json").exists():
            continue
        text = json.dumps(_vector(make, name), indent=1, ensure_ascii=False) + "\n"
        (VECTORS / f"{name}.json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
