"""Where the runtime, and the programs that it starts, are in a container image. Pure.

The runtime is one layer below :data:`LAYER_ROOT`. A program that starts as an enclave stands aside, and a file that
starts the runtime has its place; at start the runtime shows it at its own path again, and measures it there.
"""

from __future__ import annotations

from typing import Final

__all__ = ["BUILD_FILE", "LAUNCHER", "LAUNCHER_MODE", "LAYER_ROOT", "PREPARED", "PROGRAMS", "original_path"]

LAYER_ROOT: Final = "/opt/bannock"
#: Below it, programs stand aside under their own paths.
PROGRAMS: Final = f"{LAYER_ROOT}/programs"
#: Which build of the runtime a layer is.
BUILD_FILE: Final = f"{LAYER_ROOT}/runtime-build"
#: What the modules of a layer would else work out at each start.
PREPARED: Final = f"{LAYER_ROOT}/lib/prepared"
#: What has the place of a program. The kernel calls what it names with the path of this file as its first argument, so
#: neither a shell nor a library has to be in the image, and it is the same for every program.
LAUNCHER: Final = f"#!{LAYER_ROOT}/bin/launch\n".encode()
LAUNCHER_MODE: Final = 0o755


def original_path(path: str) -> str:
    """Return where the program is that has a canonical path in the enclave."""
    return f"{PROGRAMS}{path}"
