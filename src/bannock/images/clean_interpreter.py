"""What this installation's interpreter says in a process of its own, which has loaded nothing yet."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any, Final

from bannock.errors import Bug

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import ModuleType

__all__ = ["ask"]

_SECONDS: Final = 300


def ask(program: ModuleType, names: Iterable[str], what: str) -> Any:
    """Run a module of ours as a program, give it names on standard input, and return the JSON that it prints.

    Args:
        program: the module.
        names: a line each.
        what: it is to find, for the error.

    Raises:
        Bug: it fails.
    """
    done = subprocess.run(
        [sys.executable, "-I", str(program.__file__)],
        input="\n".join(names), capture_output=True, text=True, check=False, timeout=_SECONDS,
    )  # fmt: skip
    if done.returncode != 0:
        raise Bug(f"cannot find what {what}: {done.stderr[-2000:]}")
    return json.loads(done.stdout)
