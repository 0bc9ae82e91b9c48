"""Say what is worked out while modules are imported: patterns, and methods of data classes. Without a room.

A program of its own: it runs in an interpreter of its own, so that everything is imported anew. Reads names from
standard input, one a line, and answers with one JSON object.
"""

from __future__ import annotations

import builtins
import dataclasses
import importlib
import json
import re
import sys
import warnings
from contextlib import suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["main"]


def main(names: Iterable[str]) -> int:
    """Import modules by name, and print what they worked out; what is no module, or is not there, is passed over."""
    warnings.simplefilter("ignore")
    # What has been compiled before we could look.
    patterns = {(pattern, int(flags)) for _, pattern, flags in vars(re)["_cache"]}
    methods: set[str] = set()
    compiler = importlib.import_module("re._compiler")
    work_out = compiler.compile

    def compile_pattern(pattern: Any, flags: int = 0) -> re.Pattern[Any]:
        if isinstance(pattern, str | bytes):
            patterns.add((pattern, int(flags)))
        made: re.Pattern[Any] = work_out(pattern, flags)
        return made

    def execute(source: str, globally: dict[str, Any], locally: dict[str, Any]) -> None:
        methods.add(source)
        builtins.exec(source, globally, locally)  # noqa: S102 # what dataclasses does

    vars(compiler)["compile"] = compile_pattern
    vars(dataclasses)["exec"] = execute
    for name in names:
        with suppress(ImportError):
            importlib.import_module(name)
    listed = sorted(
        (isinstance(pattern, bytes), pattern.decode("latin-1") if isinstance(pattern, bytes) else pattern, flags)
        for pattern, flags in patterns
    )
    sys.stdout.write(json.dumps({"patterns": listed, "methods": sorted(methods)}))
    return 0


if __name__ == "__main__":
    sys.exit(main([line.strip() for line in sys.stdin if line.strip()]))
