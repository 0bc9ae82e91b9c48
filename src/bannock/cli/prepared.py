"""What modules work out while they are imported, each time the same: taken from where it was kept with a layer.

That is the methods of data classes, whose source is compiled, and patterns: a third of the time of the runtime's
imports. What is not there is worked out as ever.
"""

from __future__ import annotations

import marshal
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import re
    from collections.abc import Mapping
    from types import CodeType

__all__ = ["prepare"]


def prepare(path: str) -> None:
    """Use what is kept in a file (:mod:`bannock.images.prepared`) from now on, if there is one."""
    try:
        with open(path, "rb") as file:  # noqa: PTH123 # pathlib has patterns of its own
            patterns, methods = marshal.load(file)  # noqa: S302 # of our own layer, as every module is
    except (OSError, ValueError, EOFError, TypeError):
        return
    _prepare_patterns(patterns)
    _prepare_methods(methods)


def _prepare_patterns(kept: Mapping[tuple[object, int], tuple[Any, ...]]) -> None:
    compiler = import_module("re._compiler")
    make, work_out = import_module("_sre").compile, compiler.compile

    def compile_pattern(pattern: object, flags: int = 0) -> re.Pattern[Any]:
        found = kept.get((pattern, flags)) if isinstance(pattern, str | bytes) else None
        made: re.Pattern[Any] = work_out(pattern, flags) if found is None else make(pattern, *found)
        return made

    vars(compiler)["compile"] = compile_pattern


def _prepare_methods(kept: Mapping[str, CodeType]) -> None:
    module = import_module("dataclasses")

    def execute(source: str, names: dict[str, Any], into: dict[str, Any]) -> None:
        exec(kept.get(source, source), names, into)  # noqa: S102 # what dataclasses does

    # It is looked up there before it is looked up among what is built in.
    vars(module)["exec"] = execute
