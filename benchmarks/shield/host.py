"""A process that serves one volume by FUSE, so that its memory and its time are its own.

It says ``{"seconds": …}`` when the volume is mounted (how long opening and mounting took), and ``{"tag": …}`` at its
end, which comes when its standard input ends.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Final

from bannock.shield.fuse import FuseServer
from bannock.shield.volume import Volume
from bannock.values import FspfKey, FspfTag

__all__ = ["KEY", "main"]

#: Make-believe, for volumes that hold nothing.
KEY: Final = FspfKey(bytes(range(32)))


def main(arguments: list[str]) -> None:
    """Serve the volume in a directory at a mount point, from a state that is named by its tag."""
    directory, point, tag = arguments
    started = time.perf_counter()
    with Volume.open(Path(directory), KEY, FspfTag.from_hex(tag)) as volume:
        server = FuseServer(Path(point), [("/data", volume)])
        server.start()
        _say({"seconds": time.perf_counter() - started})
        sys.stdin.read()
        server.stop()
        _say({"tag": str(volume.commit())})


def _say(message: dict[str, object]) -> None:
    sys.stdout.write(f"{json.dumps(message)}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
