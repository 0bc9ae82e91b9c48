"""``python -m tests.integration.shield.kills KIND DIRECTORY``: kill so often, and print what happened."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


def _drive(kind: str) -> Callable[[Path, int], Any]:
    """Return what kills; loaded only then, since a process that has loaded less is forked faster."""
    if kind == "cas":
        from tests.integration.shield.kills.drive_cas import CasDrive  # noqa: PLC0415

        return CasDrive
    if kind == "disk":
        from tests.integration.shield.kills.drive_disk import DiskDrive  # noqa: PLC0415

        return DiskDrive
    if kind == "run":
        from tests.integration.shield.kills.drive_run import RunDrive  # noqa: PLC0415

        return RunDrive
    from tests.integration.shield.kills.drive import Drive  # noqa: PLC0415

    return Drive


def main() -> None:
    """Parse, kill, print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("kind", choices=["file", "disk", "cas", "run"])
    parser.add_argument("directory", type=Path)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parsed = parser.parse_args()
    parsed.directory.mkdir()
    with _drive(parsed.kind)(parsed.directory, parsed.seed) as drive:
        for _ in range(parsed.kills):
            drive.kill()
        drive.finish()
    shutil.rmtree(parsed.directory)
    sys.stdout.write(json.dumps(drive.report()) + "\n")


if __name__ == "__main__":
    main()
