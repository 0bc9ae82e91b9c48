"""The rules of the house: imports point down, public names are listed, modules and functions stay small."""

from __future__ import annotations

import ast
import functools
import importlib
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import bannock.errors
from bannock.errors import BannockError

_ROOT = Path(__file__).parents[2]
_PACKAGE = _ROOT / "src" / "bannock"

#: From the top down; rooms of one line are siblings and do not import each other.
_LAYERS: tuple[tuple[str, ...], ...] = (
    ("cli",),
    ("doctor",),
    ("execution", "mesh", "kubernetes"),
    ("images", "charts"),
    ("remote",),
    ("cas", "las", "runtime"),
    ("shield",),
    ("relying",),
    ("evidence",),
    ("identity",),
    ("policy",),
    ("net",),
    ("files", "linux", "values", "errors"),
)
_LEVEL = {room: len(_LAYERS) - index for index, rooms in enumerate(_LAYERS) for room in rooms}
#: The floor of the house is ordered in itself.
_FLOOR = {"files": {"errors", "values"}, "linux": set[str](), "values": {"errors"}, "errors": set[str]()}

_MODULE_LINES_MAX = 400
_FUNCTION_LINES_MAX = 80
_CLASS_METHODS_MAX = 12

#: A program starts with these in front of it, so nothing may come with them that is slow to import.
_LIGHT = ("bannock.cli.bannock", "bannock.cli.run", "bannock.runtime.run", "bannock.net.client", "bannock.net.tls")
_HEAVY = ("fastapi", "starlette", "uvicorn", "sqlalchemy", "pydantic", "yaml", "rich")


def _modules() -> list[Path]:
    return sorted(_PACKAGE.rglob("*.py"))


def _name(path: Path) -> str:
    parts = path.relative_to(_PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@functools.cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def _id(value: object) -> str:
    return _name(value) if isinstance(value, Path) else str(value)


def _imported(tree: ast.Module) -> set[str]:
    """Every module of ours that a module names in an import, those for type checking included."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {name for name in found if name.startswith("bannock.")}


def _may_import(importer: str, imported: str) -> bool:
    if importer == imported:
        return True
    if importer in _FLOOR:
        return imported in _FLOOR[importer]
    return _LEVEL[importer] > _LEVEL[imported]


def test_rule_refuses_what_it_has_to() -> None:
    """The rule itself tells down from up and from sideways."""
    assert _may_import("cli", "errors")
    assert _may_import("cas", "net")
    assert not _may_import("net", "cas")
    assert not _may_import("cas", "las")
    assert not _may_import("errors", "values")


@pytest.mark.parametrize("path", _modules(), ids=_id)
def test_imports_point_down(path: Path) -> None:
    """A room imports rooms below it, never one above or beside it."""
    name = _name(path)
    if name == "bannock":
        assert not _imported(_tree(path))
        return
    importer = name.split(".")[1]
    assert importer in _LEVEL, f"{importer} is not a room of the house"
    for imported in _imported(_tree(path)):
        room = imported.split(".")[1]
        if room != "__version__":
            assert _may_import(importer, room), f"{name} imports {imported}"


@pytest.mark.parametrize("path", _modules(), ids=_id)
def test_public_names_are_listed(path: Path) -> None:
    """Every module says by ``__all__`` what it is for, and what it lists exists and is no private name."""
    name = _name(path)
    listed = _listed(_tree(path))
    assert listed is not None, f"{name} has no __all__"
    assert listed == sorted(listed, key=_isort_key)
    assert not [public for public in listed if public.startswith("_") and public != "__version__"]
    module = importlib.import_module(name)
    for public in listed:
        getattr(module, public)


def _listed(tree: ast.Module) -> list[str] | None:
    for node in tree.body:
        match node:
            case (
                ast.Assign(targets=[ast.Name(id="__all__")], value=value)
                | ast.AnnAssign(target=ast.Name(id="__all__"), value=ast.List() as value)
            ):
                return list(ast.literal_eval(value))
    return None


def _isort_key(name: str) -> tuple[int, str]:
    """CONSTANTS, then Classes, then functions, each in order: as ruff sorts ``__all__`` (RUF022)."""
    return (0 if name.isupper() and len(name) > 1 else 1 if name[0].isupper() else 2, name)


@pytest.mark.parametrize("path", _modules(), ids=_id)
def test_sizes(path: Path) -> None:
    """Modules, functions and classes stay small enough to be read at once."""
    lines = len(path.read_text(encoding="utf-8").splitlines())
    assert lines <= _MODULE_LINES_MAX, f"{_name(path)} has {lines} lines"
    for node in ast.walk(_tree(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            assert length <= _FUNCTION_LINES_MAX, f"{_name(path)}.{node.name} has {length} lines"
        elif isinstance(node, ast.ClassDef):
            methods = [item for item in node.body if isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef)]
            public = [method.name for method in methods if not method.name.startswith("_")]
            if not _is_foreign_interface(node):
                assert len(public) <= _CLASS_METHODS_MAX, f"{_name(path)}.{node.name} has {len(public)} public methods"


def _is_foreign_interface(node: ast.ClassDef) -> bool:
    """Whether the methods of a class are those that somebody else's interface asks for."""
    return any(isinstance(base, ast.Attribute) for base in node.bases)


@pytest.mark.parametrize("path", _modules(), ids=_id)
def test_errors_are_declared_in_one_place(path: Path) -> None:
    """No exception class stands outside of the tree in errors.py."""
    if _name(path) == "bannock.errors":
        return
    for node in ast.walk(_tree(path)):
        if isinstance(node, ast.ClassDef):
            bases = {ast.unparse(base).rpartition(".")[2] for base in node.bases}
            named = {base for base in bases if re.search(r"(Error|Exception|Warning|Fault|Bug)$", base)}
            assert not named, f"{_name(path)}.{node.name} is an exception class"


@pytest.mark.parametrize("module", _LIGHT)
def test_start_up_is_light(module: str) -> None:
    """What stands in front of an application does not import frameworks."""
    program = f"import json, sys, {module}; print(json.dumps(sorted(sys.modules)))"
    loaded = json.loads(
        subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout
    )
    assert not [name for name in loaded if name in _HEAVY]


def _error_classes() -> list[type[BannockError]]:
    classes = [getattr(bannock.errors, name) for name in bannock.errors.__all__]
    return [item for item in classes if isinstance(item, type) and issubclass(item, BannockError)]


def test_exit_codes_are_unique() -> None:
    """Each class of errors has an exit code and a kind of its own, and none that a shell uses."""
    codes = [item.exit_code for item in _error_classes()]
    assert len(set(codes)) == len(codes)
    assert len({item.kind for item in _error_classes()}) == len(codes)
    assert all(0 < code < 126 for code in codes)


def test_exit_codes_are_documented() -> None:
    """docs/errors.md has one row for each class of errors, with its code and its kind, and no other."""
    text = (_ROOT / "docs" / "errors.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\d+) \| `(\w+)` \| `([a-z-]+)` \|", text, flags=re.MULTILINE)
    assert sorted(rows) == sorted((str(item.exit_code), item.__name__, item.kind) for item in _error_classes())


def test_lock_files_name_no_host() -> None:
    """The lock files install from whatever index a machine is set up with, and every package has its hash."""
    for path in _ROOT.glob("requirements*.lock"):
        text = path.read_text(encoding="utf-8")
        assert "://" not in text, path.name
        assert not re.search(r"^--", text, flags=re.MULTILINE), path.name
        assert text.count("==") <= text.count("--hash=sha256:"), path.name


def test_every_dependency_is_explained() -> None:
    """docs/dependencies.md has a line for every dependency that pyproject.toml lists."""
    project = tomllib.loads((_ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    wanted = [*project["project"]["dependencies"], *project["dependency-groups"]["dev"]]
    names = {re.split(r"[<>=\[; ]", requirement)[0] for requirement in wanted}
    text = (_ROOT / "docs" / "dependencies.md").read_text(encoding="utf-8")
    assert sorted(re.findall(r"^\| `([\w-]+)` \|", text, flags=re.MULTILINE)) == sorted(names)
