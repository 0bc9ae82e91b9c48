"""Layers out of the storage of a Docker engine on this machine, where one may read it (as its root).

An engine takes far longer to give an image than to keep it: it puts every layer together, writes it, and writes all
once more as one archive. Here layers are put together of the same parts, and all bytes are held against the digests
that the image has. The storage is Docker's own affair: whatever of it is missing or other than expected, the engine is
asked.

Sources: ``tar-split`` (a line of JSON a part: 1 is a file of the directory, 2 are bytes), and the chain ids of the OCI
image specification (``config.md``, "Layer ChainID").
"""

from __future__ import annotations

import base64
import gzip
import json
import os
import re
import stat
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from bannock.errors import BannockError, EnvironmentFault, IntegrityError
from bannock.files import read_bounded
from bannock.images.config import Config
from bannock.images.digests import BLOCK, digest_of, hex_of, parse_digest, require_digest
from bannock.images.manifest import DOCUMENT_BYTES_MAX
from bannock.images.media import LAYER_TAR
from bannock.images.model import Image, Layer
from bannock.images.writer import HashedOutput

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bannock.images.blobs import Blob, Scratch
    from bannock.images.fields import Fields
    from bannock.images.kept_layers import KeptLayers

__all__ = ["image_in_storage"]

_DRIVER: Final = "overlay2"
_NAME: Final = re.compile(r"[0-9a-z-]{1,128}")
_LINE_BYTES_MAX: Final = 4 << 20
_FLAGS: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


def image_in_storage(
    found: Fields, *, reference: str, scratch: Scratch, kept: KeptLayers | None = None
) -> Image | None:
    """Put an image together.

    Args:
        found: what the engine tells of it.
        reference: what messages call it.
        scratch: where its layers go.
        kept: where they are kept for the next time; None keeps none.

    Returns:
        None if that cannot be done here, for whatever reason.

    Raises:
        EnvironmentFault: the disk is full.
    """
    root = _root(found)
    if root is None:
        return None
    try:
        identity = parse_digest(found.text("Id", None))
        data = read_bounded(root / "image" / _DRIVER / "imagedb/content/sha256" / hex_of(identity), DOCUMENT_BYTES_MAX)
        require_digest(digest_of(data), identity, "the configuration of the image")
        config = Config.parse(data)
        layers = tuple(_layers(root, config.diff_ids, scratch, kept))
    except EnvironmentFault:
        raise
    except (BannockError, OSError, EOFError, ValueError, KeyError, TypeError, zlib.error):
        return None
    return Image(config=config, layers=layers, reference=reference, annotations={}, config_bytes=data)


def _root(found: Fields) -> Path | None:
    """Return the engine's directory, if this process may look into it."""
    driver: Any = found.values.get("GraphDriver")
    data: Any = driver.get("Data") if isinstance(driver, dict) and driver.get("Name") == _DRIVER else None
    upper = data.get("UpperDir") if isinstance(data, dict) else None
    if not isinstance(upper, str) or not upper.startswith("/"):
        return None
    path = Path(upper)
    # ROOT/overlay2/NAME/diff
    if len(path.parts) < len(("/", _DRIVER, "name", "diff")) or path.parent.parent.name != _DRIVER:
        return None
    root = path.parent.parent.parent
    return root if os.access(root / "image" / _DRIVER / "layerdb/sha256", os.R_OK | os.X_OK) else None


def _layers(root: Path, diff_ids: tuple[str, ...], scratch: Scratch, kept: KeptLayers | None) -> Iterator[Layer]:
    chain = ""
    for diff_id in diff_ids:
        chain = digest_of(f"{chain} {diff_id}".encode()) if chain else diff_id
        if kept is not None and (known := kept.find(diff_id, scratch)) is not None:
            yield known
            continue
        blob = scratch.kept(diff_id) or _put_together(root, chain, diff_id, scratch)
        layer = Layer(blob, media_type=LAYER_TAR, diff_id=diff_id, scratch=scratch)
        yield layer if kept is None else kept.keep(layer)


def _put_together(root: Path, chain: str, diff_id: str, scratch: Scratch) -> Blob:
    place = root / "image" / _DRIVER / "layerdb/sha256" / hex_of(chain)
    name = read_bounded(place / "cache-id", 200).decode("ascii").strip()
    if not _NAME.fullmatch(name):
        raise IntegrityError("the engine's storage has a directory of another name")
    directory = root / _DRIVER / name / "diff"
    with scratch.file() as (path, file), ThreadPoolExecutor(1) as pool:
        output = HashedOutput(file, pool)
        for part in _readable(_parts(place / "tar-split.json.gz", directory)):
            output.write(part)
        digest = output.finish()
        require_digest(digest, diff_id, "a layer of the image")
    return scratch.keep(path, digest, output.size)


def _readable(parts: Iterator[bytes]) -> Iterator[bytes]:
    """Tell what cannot be read from what cannot be written."""
    try:
        yield from parts
    except (OSError, EOFError, zlib.error) as error:
        raise IntegrityError("a layer cannot be read in the engine's storage") from error


def _parts(split: Path, directory: Path) -> Iterator[bytes]:
    with gzip.open(split) as lines:
        while line := lines.readline(_LINE_BYTES_MAX):
            part = json.loads(line)
            match part["type"]:
                case 2:  # bytes as they are
                    yield base64.b64decode(part["payload"])
                case 1 if part.get("size"):
                    yield from _content(directory / _name(part), int(part["size"]))


def _name(part: dict[str, Any]) -> str:
    raw = part.get("name_raw")
    return part["name"].lstrip("/") if raw is None else os.fsdecode(base64.b64decode(raw).lstrip(b"/"))


def _content(path: Path, size: int) -> Iterator[bytes]:
    """Read a file of a layer. A link above it could lead elsewhere; what is there then has another digest."""
    descriptor = os.open(path, _FLAGS)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise IntegrityError("a file of a layer is none in the engine's storage")
        while size:
            block = os.read(descriptor, min(BLOCK, size))
            if not block:
                raise IntegrityError("a file of a layer is shorter in the engine's storage")
            size -= len(block)
            yield block
    finally:
        os.close(descriptor)
