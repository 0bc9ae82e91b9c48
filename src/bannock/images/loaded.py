"""Say what comes with modules: every module that is loaded, and every library. A program of its own, without a room.

It runs in an interpreter of its own, so that what the caller has loaded counts for nothing. Reads names from standard
input, one a line, and answers with one JSON object.
"""

from __future__ import annotations

import importlib
import json
import sys
import warnings
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["main"]


def main(names: Iterable[str]) -> int:
    """Import modules by name, and print what is loaded then; what is no module, or is not there, is passed over."""
    warnings.simplefilter("ignore")
    for name in names:
        with suppress(ImportError):
            importlib.import_module(name)
    # Not by __spec__: modules that announce what is deprecated put an object in their place that has none.
    files = {name: getattr(module, "__file__", None) for name, module in sorted(sys.modules.items())}
    modules = {name: path for name, path in files.items() if path and name != "__main__"}
    with open("/proc/self/maps", encoding="utf-8") as maps:  # noqa: PTH123 # as little as possible is loaded
        lines = [line.rstrip("\n").split(maxsplit=5) for line in maps if "/" in line]
    mapped = {fields[5] for fields in lines if "x" in fields[1]}
    sys.stdout.write(json.dumps({"modules": modules, "mapped": sorted(mapped)}))
    return 0


if __name__ == "__main__":
    sys.exit(main([line.strip() for line in sys.stdin if line.strip()]))
