"""The page that tells what is left after power cuts and attacks: docs/crash-matrix.md.

``python -m tests.unit.shield.crash_page`` (or ``make crash-matrix``) writes it anew.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import Final

from tests.unit.shield.crash_matrix import crash_section
from tests.unit.shield.mutations import mutations_section

__all__ = ["CRASHES", "MUTATIONS", "PAGE", "fast_directory", "section", "write"]

PAGE: Final = Path(__file__).parents[3] / "docs" / "crash-matrix.md"
CRASHES: Final = "When the power is cut"
MUTATIONS: Final = "When somebody changes the storage"

_HEAD: Final = """\
# The crash matrix

What is left of a protected volume when the power goes in the middle of a commit, when its processes are killed, and
when somebody changes its storage. The tables are made by tests: `make crash-matrix` writes this page anew, and the
tests fail where the code does something else than the page says. How a commit works is in
[the format](formats/fspf.md#commits).
"""
_KILLS: Final = """\
Real processes are killed by SIGKILL 1,000 times in each run of the tests, and started again after each. The moments
are random, most of them in the first microseconds of a commit, some exactly at a system call or in the midst of a
write. What is killed is

| times | |
|---|---|
| 800 | a process that writes to a volume, and with it the keeper of the volume's tag, a file |
| 100 | such a process, the CAS that keeps its tag in its database, or both |
| 100 | `bannock run` with an application that writes to a volume under FUSE, the CAS, or both |

And 100 times the power of a real file system is cut: an ext4 forgets everything that was not durable, under a process
of the first kind whose keeper is elsewhere.

After each restart the volume opens, and everything is in it that had been acknowledged: the last state that was
committed, or the one after it, if only the answer was lost. Copies of the volume that were taken from time to time are
then put in its place, and refused as older states; who goes on with a copy is refused by the keeper. See
`tests/integration/shield/test_kills.py`.
"""


def fast_directory() -> str | None:
    """Return where files are made without waiting for a disk, which these tests play themselves; None: anywhere."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108 # a directory of its own is made in it


def section(page: str, title: str) -> str:
    """Return what stands below a heading of the page."""
    _, _, rest = page.partition(f"\n## {title}\n\n")
    return rest.partition("\n## ")[0]


def write() -> None:
    """Write the page anew."""
    with tempfile.TemporaryDirectory(dir=fast_directory()) as directory:
        crashes, mutations = crash_section(Path(directory, "crashes")), mutations_section(Path(directory, "mutations"))
    parts = [_HEAD]
    for title, text in ((CRASHES, crashes), ("When processes are killed", _KILLS), (MUTATIONS, mutations)):
        parts += [f"## {title}\n", text]
    PAGE.write_text("\n".join(parts), encoding="utf-8")
    sys.stdout.write(f"{PAGE} is written\n")


if __name__ == "__main__":
    write()
