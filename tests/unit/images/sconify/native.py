"""A native image for tests, whose program is a static one, made of a few bytes."""

from __future__ import annotations

import datetime as dt
import struct
import tarfile
from typing import TYPE_CHECKING

from bannock.images.config import Config, History
from bannock.images.sconify.cache import SealCache
from bannock.images.sconify.conversion import Tools, convert
from bannock.images.sconify.options import Places, SconifyOptions
from tests.unit.images.build import image, item, layer, tar

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from typing import Any

    from bannock.images.blobs import Scratch
    from bannock.images.model import Image
    from bannock.images.sconify.conversion import Converted

PROGRAM = "/usr/bin/serve"
CODE = b"print('the secret algorithm')\n"


def program() -> bytes:
    """A static ELF program of 64 bits: enough to be measured."""
    segment = struct.pack("<IIQQQQQQ", 1, 5, 0, 0, 0, 200, 200, 4096)
    ident = b"\x7fELF" + bytes([2, 1, 1]) + bytes(9)
    return ident + struct.pack("<HHIQQQIHHHHHH", 2, 62, 1, 0, 64, 0, 0, 64, 56, 1, 64, 0, 0) + segment + b"text" * 20


def native(scratch: Scratch, *more: Mapping[str, Any], **config: Any) -> Image:
    """A native image: a base, an application, and further layers."""
    base: dict[str, Any] = {
        "usr/bin/serve": program(),
        "usr/share/doc/readme": b"a file of a package\n",
        "etc/hosts": b"",
    }
    app: dict[str, Any] = {
        "app": None,
        "app/server.py": CODE,
        "app/empty": b"",
        "app/link.py": item("app/link.py", tarfile.SYMTYPE, link="server.py"),
        "app/same.py": item("app/same.py", tarfile.LNKTYPE, link="app/server.py"),
    }
    layers = [layer(tar(dict(files)), scratch, "gzip") for files in (base, app, *more)]
    settings: dict[str, Any] = {
        "cmd": ("serve", "/app/server.py"),
        "env": (("PATH", "/usr/bin"), ("API_PASSWORD", "hunter-22-canary")),
        "working_dir": "/app",
        "history": tuple(History(created_by=f"step {number} hunter-22-canary") for number in range(len(layers))),
        **config,
    }
    return image(*layers, config=Config(**settings))


def options(**changes: Any) -> SconifyOptions:
    """What a test asks for."""
    return SconifyOptions(
        **{"binary": PROGRAM, "session": "ns/app", "places": Places(directories=("/app",)), **changes}
    )


def converted(
    made: Image,
    scratch: Scratch,
    directory: Path,
    base: Image | None = None,
    steady: int | None = None,
    **changes: Any,
) -> Converted:
    """Convert an image, with a layer that stands for the runtime's."""
    runtime = layer(tar({"opt/bannock/bin/launch": b"#!"}), scratch)
    tools = Tools(scratch=scratch, cache=SealCache(directory / "cache"), runtime=runtime, today=dt.date(2026, 1, 2))
    return convert(made, options(**changes), tools, name="made", base=base, steady=steady)
