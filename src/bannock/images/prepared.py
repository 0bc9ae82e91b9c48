"""What the runtime's modules work out while they are imported, worked out beforehand: see :mod:`bannock.cli.prepared`.

The same for the same modules, bit for bit.
"""

from __future__ import annotations

import marshal
import re
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from bannock.images import worked_out
from bannock.images.clean_interpreter import ask

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["prepared"]

#: Without references, which differ from run to run (:mod:`bannock.images.compiled`).
_FORMAT: Final = 2


def prepared(names: Iterable[str]) -> bytes:
    """Return what :func:`bannock.cli.prepared.prepare` reads, for modules of these names."""
    told = ask(worked_out, names, "modules work out")
    keys = [(text.encode("latin-1") if raw else text, flags) for raw, text, flags in told["patterns"]]
    patterns = {(pattern, flags): _pattern(pattern, flags) for pattern, flags in keys}
    methods = {source: compile(source, "<string>", "exec", dont_inherit=True) for source in told["methods"]}
    return marshal.dumps((patterns, methods), _FORMAT)


def _pattern(pattern: str | bytes, flags: int) -> tuple[Any, ...]:
    """Return what the interpreter's own compiler would make of a pattern, but for the pattern itself."""
    compiler = import_module("re._compiler")
    parsed = import_module("re._parser").parse(pattern, flags)
    made: re.Pattern[Any] = re.compile(pattern, flags)
    names: list[str | None] = [None] * (made.groups + 1)
    for name, number in made.groupindex.items():
        names[number] = name
    code = [int(word) for word in compiler._code(parsed, flags)]  # noqa: SLF001 # there is no other name for it
    return made.flags, code, made.groups, dict(made.groupindex), tuple(names)
