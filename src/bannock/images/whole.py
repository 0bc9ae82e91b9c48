"""What the layer has for all commands, and not for the runtime alone: Python's library, and every package in use.

Packages are taken whole, with their data, because what they import by name is seen by nobody; of Python's own library,
all but what needs libraries that nothing else needs.
"""

from __future__ import annotations

import importlib.metadata
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING, Final

import bannock
from bannock.identity.runtime_build import PASSED_OVER
from bannock.images.elf_parts import parse
from bannock.images.imports import modules_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

__all__ = ["COMMANDS", "ROOTS", "own_data", "packages", "standard_library"]

#: Name in ``bin`` → module whose ``entry`` it is.
COMMANDS: Final = {
    "scone": "bannock.cli.scone",
    "scone-signer": "bannock.cli.scone_signer",
    "sconectl": "bannock.cli.sconectl",
    "kubectl-provision": "bannock.cli.kubectl_provision",
    "determine_sgx_device": "bannock.cli.determine_sgx_device",
    "sconify_image": "bannock.cli.sconify_image",
    "sconify_iexec": "bannock.cli.sconify_iexec",
}
_APPLICATIONS: Final = "applications"
#: Every module of ours, and those of others that are named in texts only.
ROOTS: Final = (
    *(name for name in modules_of("bannock") if f".{_APPLICATIONS}." not in name),
    "psycopg",
    "psycopg_binary",
    "sqlite3",
)
#: What a package needs only where it is installed, built or checked.
_LEFT_OUT: Final = (
    ".pyi",
    ".pyc",
    ".c",
    ".h",
    ".pyx",
    ".pxd",
    "/RECORD",
    "/INSTALLER",
    "/REQUESTED",
    ".json",
    "/WHEEL",
)
_METADATA: Final = ".dist-info"
#: Programs with windows, and what they are made with.
_UNWANTED: Final = PASSED_OVER | {"tkinter", "distutils", "pydoc_data", "curses", "dbm", "lib-dynload"}
_DYNLOAD: Final = "lib-dynload"


def packages(modules: Iterable[str]) -> Iterator[tuple[str, Path]]:
    """Yield every file of the packages that modules belong to, as path below the library → where it is."""
    known = importlib.metadata.packages_distributions()
    wanted = {name for module in modules for name in known.get(module.split(".")[0], ())} - {"bannock"}
    for name in sorted(wanted):
        distribution = importlib.metadata.distribution(name)
        for file in distribution.files or ():
            text = str(file)
            kept = _METADATA not in text or file.name in ("METADATA", "entry_points.txt")
            if kept and not text.startswith(("..", "/")) and not f"/{text}".endswith(_LEFT_OUT):
                path = Path(str(distribution.locate_file(file)))
                if path.is_file():
                    yield text, path


def own_data() -> Iterator[tuple[str, Path]]:
    """Yield what this package has beside modules."""
    root = Path(bannock.__file__).parent
    for path in sorted(root.rglob("*")):
        relative = path.relative_to(root)
        is_module = path.suffix == ".py" and _APPLICATIONS not in relative.parts
        if path.is_file() and not is_module and "__pycache__" not in relative.parts:
            yield f"bannock/{relative}", path


def standard_library(libraries: Collection[str]) -> Iterator[tuple[str, Path]]:
    """Yield the modules of Python's library; compiled ones, if these libraries are all that they need."""
    root = Path(sysconfig.get_path("stdlib"))
    for path in sorted(root.rglob("*.py")):
        relative = path.relative_to(root)
        if not _UNWANTED.intersection(relative.parts) and not relative.parts[0].startswith("config-"):
            yield str(relative), path
    for path in sorted((root / _DYNLOAD).glob("*.so")):
        if set(parse(path).needed) <= set(libraries):
            yield f"{_DYNLOAD}/{path.name}", path
