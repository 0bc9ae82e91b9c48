"""``bannock runtime build-layer``: the runtime as one layer of an image."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bannock.cli.options import Parser
from bannock.images.layer import build_layer

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]

_DESCRIPTION: Final = """\
Write the runtime of this installation as one layer of an image: a tar archive of /opt/bannock with an interpreter,
libraries and loader of its own, which needs nothing of the image that it is put on. The same installation gives the
same bytes each time. The digest of the file is printed."""
_EXAMPLES: Final = """\
  bannock runtime build-layer runtime.tar.gz
      in a Dockerfile: ADD runtime.tar.gz /
  bannock runtime build-layer --json runtime.tar.gz"""


def main(arguments: Sequence[str]) -> int:
    """Parse, and make the layer."""
    parser = Parser("runtime build-layer", _DESCRIPTION, _EXAMPLES)
    parser.add_argument("--whole", action="store_true", help="with all commands, for images that serve or administer")
    parser.add_argument("--json", action="store_true", help="print digest, size, diff_id and unpacked size as JSON")
    parser.add_argument("file", type=Path, metavar="FILE", help="to write")
    parsed = parser.parse_args(arguments)
    layer = build_layer(parsed.file.absolute(), whole=parsed.whole)
    if parsed.json:
        told = {name: getattr(layer, name) for name in ("digest", "size", "diff_id", "unpacked")}
        sys.stdout.write(f"{json.dumps(told, indent=2)}\n")
    else:
        sys.stdout.write(f"{layer.digest}\n")
    return 0
