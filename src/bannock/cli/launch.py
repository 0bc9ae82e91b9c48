"""What stands in the place of a program in an image: start the program as an enclave.

Called by the kernel, as the interpreter of a file that begins with ``#!`` (:data:`bannock.identity.layout.LAUNCHER`).
Imports nothing that is slow to import.
"""

from __future__ import annotations

import os
import sys
from typing import NoReturn

from bannock.runtime.installed import launch

__all__ = ["entry", "main"]


def main(words: list[str]) -> int:
    """Start the program that the first word names, with the other ones as its arguments."""
    return launch(words[0], words[1:], os.environ)


def entry() -> NoReturn:
    """Be the program that the kernel calls."""
    sys.exit(main(sys.argv[1:]))
