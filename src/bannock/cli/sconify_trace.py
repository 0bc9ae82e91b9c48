"""``--trace`` of ``sconify_image``: the directories to encrypt come from a run of the image, with a reason each."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

from bannock.cli.cas_options import warn
from bannock.errors import InputError
from bannock.images.engine_socket import EngineSocket
from bannock.images.tracing.chosen import choose_directories

if TYPE_CHECKING:
    from bannock.cli.sconify_options import Request
    from bannock.images.model import Image
    from bannock.images.places import Places
    from bannock.images.sconify.options import SconifyOptions

__all__ = ["with_traced"]


def with_traced(request: Request, options: SconifyOptions, image: Image, places: Places) -> SconifyOptions:
    """Add the directories that a trace shows to those of the options, and tell why.

    Raises:
        InputError: the log cannot be read, or directories are measured and not encrypted.
        EnvironmentFault: there is no strace, or no engine.
    """
    if request.trace is None:
        return options
    if options.binary_fs:
        raise InputError("--trace chooses directories to encrypt, and --binary-fs measures them instead")
    named = options.places
    chosen = choose_directories(
        image,
        request.trace,
        binary=options.binary,
        command=options.command or (),
        covered=(*named.directories, *named.plain_directories),
        places=places,
        engine=EngineSocket.of(os.environ),
    )
    sys.stderr.write("".join(f"{line}\n" for line in chosen.choice.text().splitlines()))
    if chosen.warning:
        warn(chosen.warning)
    found = tuple(one.path for one in chosen.choice.directories)
    return replace(options, places=replace(named, directories=(*named.directories, *found)))
