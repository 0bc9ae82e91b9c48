"""Programs and libraries that are to be found by each other in a layer, and by nothing of the image that has it.

The interpreter names its loader and the directory of its libraries (an RPATH, which holds for the libraries as well,
and which no variable overrides); the loader has the machine's lists of libraries at a path that nothing has.
"""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
import sysconfig
import tempfile
from pathlib import Path
from typing import Final

from bannock.errors import EnvironmentFault, InputError
from bannock.identity import elf
from bannock.identity.layout import LAYER_ROOT

__all__ = ["LIBRARIES", "loader_part", "parse", "program_part", "strip_runpath", "stripped"]

LIBRARIES: Final = f"{LAYER_ROOT}/lib"
#: What glibc's loader reads of a machine (ld.so(8), FILES) → as long a path that nothing has.
_MACHINE_LISTS: Final = (
    (b"/etc/ld.so.preload\0", b"/opt/bannock/.none\0"),
    (b"/etc/ld.so.cache\0", b"/opt/bannock/.no\0"),
)
_TOOL: Final = "patchelf"
#: Of the header of a 64-bit little-endian file: where program headers begin; where those of sections do, which only
#: debuggers and linkers read; size and number of both (System V ABI, chapter 4).
_PROGRAMS_AT: Final = 0x20
_SECTIONS_AT: Final = 0x28
_COUNTS_AT: Final = 0x36
_HEADER_BYTES: Final = 0x40
_PROGRAM: Final = struct.Struct("<IIQQQQQQ")


def parse(path: Path) -> elf.Elf:
    """Say what a file is loaded with.

    Raises:
        InputError: it is no ELF file of a supported kind.
    """
    with path.open("rb") as file:
        return elf.parse(lambda offset, size: os.pread(file.fileno(), size, offset))


def program_part(program: Path, loader: str) -> bytes:
    """Return a program with another loader, whose libraries are those of the layer.

    Raises:
        EnvironmentFault: the tool for this is missing, or it fails.
    """
    return _changed(program, "--set-interpreter", loader, "--force-rpath", "--set-rpath", LIBRARIES)


def strip_runpath(library: Path) -> bytes:
    """Return a library without a RUNPATH of its own, which would hide that of the program.

    Raises:
        EnvironmentFault: the tool for this is missing, or it fails.
    """
    return _changed(library, "--remove-rpath")


def loader_part(loader: Path) -> bytes:
    """Return glibc's loader so that it looks at nothing of a machine.

    Raises:
        InputError: it is another loader.
    """
    content = loader.read_bytes()
    for ours, nothing in _MACHINE_LISTS:
        if content.count(ours) != 1:
            raise InputError(
                f"{loader} is no loader of glibc, as the layer needs it",
                hint="make the layer with a Python of a distribution that uses glibc (Debian, for one)",
            )
        content = content.replace(ours, nothing)
    return content


def stripped(content: bytes) -> bytes:
    """Return an ELF file without what no loader reads: symbols for debuggers, and sections."""
    if not content.startswith(elf.MAGIC):
        return content
    (table,) = struct.unpack_from("<Q", content, _PROGRAMS_AT)
    entry, count = struct.unpack_from("<HH", content, _COUNTS_AT)
    segments = [_PROGRAM.unpack_from(content, table + index * entry) for index in range(count)]
    end = max([table + count * entry, *(segment[2] + segment[5] for segment in segments)])
    short = bytearray(content[:end])
    struct.pack_into("<Q", short, _SECTIONS_AT, 0)
    struct.pack_into("<HHH", short, _HEADER_BYTES - 6, 0, 0, 0)
    return bytes(short)


def _changed(source: Path, *arguments: str) -> bytes:
    tool = shutil.which(_TOOL, path=f"{sysconfig.get_path('scripts')}{os.pathsep}{os.environ.get('PATH', os.defpath)}")
    if tool is None:
        raise EnvironmentFault(f"{_TOOL} is not installed", hint=f"pip install {_TOOL}, or apt-get install {_TOOL}")
    with tempfile.TemporaryDirectory(prefix="bannock-layer-") as directory:
        copy = Path(directory) / "file"
        shutil.copyfile(source, copy)
        done = subprocess.run([tool, *arguments, copy], capture_output=True, text=True, check=False, timeout=60)
        if done.returncode != 0:
            raise EnvironmentFault(f"{_TOOL} cannot change {source}: {done.stderr.strip()[:500]}")
        return copy.read_bytes()
