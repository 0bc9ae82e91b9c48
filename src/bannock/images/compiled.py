"""Modules as the interpreter keeps them compiled, the same bytes each time.

Version 2 of the format has no references between objects: later ones note which objects happened to be shared in the
process that compiled, and so differ from run to run.
"""

from __future__ import annotations

import importlib.util
import marshal
from typing import Final

__all__ = ["compiled"]

_FORMAT: Final = 2
#: Flags, time and size of the source, none of which a module without source has (PEP 552).
_NO_SOURCE: Final = bytes(12)


def compiled(source: bytes, path: str) -> bytes:
    """Compile a module whose messages shall name a path."""
    code = compile(source, path, "exec", dont_inherit=True, optimize=0)
    return importlib.util.MAGIC_NUMBER + _NO_SOURCE + marshal.dumps(code, _FORMAT)
