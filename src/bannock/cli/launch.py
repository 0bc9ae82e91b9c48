"""What stands in the place of a program in an image: start the program as an enclave.

Called by the kernel, as the interpreter of a file that begins with ``#!`` (:data:`bannock.identity.layout.LAUNCHER`).
Imports next to nothing: first of all, what makes imports quick has to be there.
"""

from __future__ import annotations

import gc
import os
import sys
from typing import NoReturn

from bannock.cli.prepared import prepare
from bannock.identity.layout import PREPARED

__all__ = ["entry", "main"]


def main(words: list[str]) -> int:
    """Start the program that the first word names, with the other ones as its arguments."""
    from bannock.runtime.installed import launch  # noqa: PLC0415 # see above

    # What is there now stays until the end.
    gc.freeze()
    gc.enable()
    return launch(words[0], words[1:], os.environ)


def entry() -> NoReturn:
    """Be the program that the kernel calls."""
    # It would look at every module again and again while they are imported, and find nothing to collect.
    gc.disable()
    prepare(PREPARED)
    code = main(sys.argv[1:])
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError, AttributeError):
            continue  # there is nobody (any more) who reads it
    # The interpreter would take everything down piece by piece, which the kernel does at once.
    os._exit(code)
