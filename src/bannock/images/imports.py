"""Which modules a module of this package may ever import, also from within functions. Reads source, and runs none."""

from __future__ import annotations

import ast
import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

from bannock.errors import Bug

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["closure", "modules_of"]

_OWN = "bannock"


def closure(roots: Iterable[str]) -> list[str]:
    """Return every name that modules of this package import, and those that these import, sorted.

    Names of other packages are in the result as they are; what is imported for type checking alone is not.
    """
    found: set[str] = set()
    waiting = list(roots)
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        found.add(name)
        if name.split(".")[0] == _OWN and (path := _source(name)) is not None:
            waiting += _imported(ast.parse(path.read_bytes()))
            waiting.append(name.rpartition(".")[0] or _OWN)
    return sorted(found)


def modules_of(package: str) -> list[str]:
    """Return the names of all modules of a package.

    Raises:
        Bug: there is no such package.
    """
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise Bug(f"the package {package} is not where packages are")
    if spec.submodule_search_locations is None:
        return [package]
    root = Path(spec.origin).parent
    return sorted(
        ".".join((package, *path.relative_to(root).with_suffix("").parts)).removesuffix(".__init__")
        for path in root.rglob("*.py")
    )


def _source(name: str) -> Path | None:
    """Return the file of a module; None for a name in one."""
    try:
        spec = importlib.util.find_spec(name)
    except ModuleNotFoundError:
        return None
    return None if spec is None or spec.origin is None else Path(spec.origin)


def _imported(node: ast.AST) -> Iterator[str]:
    for child in ast.iter_child_nodes(node):
        match child:
            case ast.If(test=ast.Name(id="TYPE_CHECKING")):
                continue
            case ast.Import():
                yield from (alias.name for alias in child.names)
            case ast.ImportFrom(module=str() as module):
                yield module
                yield from (f"{module}.{alias.name}" for alias in child.names)
        yield from _imported(child)
