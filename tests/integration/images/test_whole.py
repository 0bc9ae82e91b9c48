"""What the layer has for all commands: packages with their data, and no library that only windows need."""

from __future__ import annotations

import importlib
import re
import tomllib
from pathlib import Path

from bannock.images import whole

_ROOT = Path(__file__).parents[3]


def test_commands_are_those_of_the_installation() -> None:
    """Each has an entry, and none is missing but the one that every layer has."""
    scripts = tomllib.loads((_ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    assert {name: f"{module}:entry" for name, module in whole.COMMANDS.items()} == {
        name: entry for name, entry in scripts.items() if name != "bannock"
    }
    assert all(callable(importlib.import_module(module).entry) for module in whole.COMMANDS.values())


def test_packages_come_with_what_tells_their_versions() -> None:
    """Files are at the places that the package has them, and nothing of an installer's is there."""
    found = dict(whole.packages(["cryptography.x509", "pydantic", "json"]))
    assert "pydantic/main.py" in found
    assert any(re.fullmatch(r"cryptography-[0-9.]+\.dist-info/METADATA", name) for name in found)
    assert not [name for name in found if name.endswith(("RECORD", ".pyc", ".pyi")) or name.startswith(("..", "/"))]


def test_our_own_data_is_there() -> None:
    """Roots of vendors and bundles of applications; modules come compiled, by another way."""
    found = dict(whole.own_data())
    assert "bannock/applications/copy_demo/application.yaml" in found
    assert any(name.startswith("bannock/evidence/roots/") and name.endswith(".pem") for name in found)
    assert not [name for name in found if name.endswith(".py") and "applications" not in name]


def test_compiled_modules_bring_no_library_of_their_own() -> None:
    """What needs more than is there stays away."""
    found = dict(whole.standard_library({"libc.so.6", "libm.so.6", "libpthread.so.0", "libpython3.11.so.1.0"}))
    assert "asyncio/base_events.py" in found
    assert not [
        name for name in found if name.startswith(("tkinter/", "test/", "lib-dynload/_sqlite3", "lib-dynload/_ssl"))
    ]
    assert any(name.startswith("lib-dynload/_asyncio.") for name in found)
