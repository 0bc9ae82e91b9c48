"""The command line of ``scone`` before its verb: argument files, where the state is, and where the output goes."""

from __future__ import annotations

import contextlib
import io
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bannock.errors import InputError
from bannock.files import read_bounded, write_atomically

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["GlobalOptions", "expand", "output_to", "split_global"]

_FILE_BYTES_MAX: Final = 1 << 20
_DEPTH_MAX: Final = 16
_ARGUMENTS_MAX: Final = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class GlobalOptions:
    """What stands before the verb; None for what does not."""

    config: Path | None = None
    output: Path | None = None


def expand(arguments: Sequence[str]) -> list[str]:
    """Replace each ``@FILE`` by the lines of the file, in which there may be further ones.

    Raises:
        InputError: a file cannot be read, is not text, or leads to itself.
    """
    return _expand(arguments, 0)


def _expand(arguments: Sequence[str], depth: int) -> list[str]:
    found: list[str] = []
    for argument in arguments:
        if not argument.startswith("@"):
            found.append(argument)
            continue
        if depth == _DEPTH_MAX:
            raise InputError(f"argument files name each other over {_DEPTH_MAX} deep, the last one {argument[1:]}")
        try:
            text = read_bounded(Path(argument[1:]), _FILE_BYTES_MAX).decode("utf-8")
        except UnicodeDecodeError:
            raise InputError(f"the argument file {argument[1:]} is not UTF-8 text") from None
        except InputError as error:
            raise InputError(f"cannot take arguments from {argument}", hint="@FILE is a file of arguments") from error
        found += _expand(text.splitlines(), depth + 1)
        if len(found) > _ARGUMENTS_MAX:
            raise InputError(f"the argument files hold more than {_ARGUMENTS_MAX} arguments")
    return found


def split_global(arguments: Sequence[str]) -> tuple[GlobalOptions, list[str]]:
    """Take the options that stand before the verb off a command line.

    Raises:
        InputError: one of them has no value.
    """
    rest = list(arguments)
    named: dict[str, Path] = {}
    while rest and (found := _named(rest[0])) is not None:
        name, value = found
        del rest[0]
        if value is None:
            if not rest:
                raise InputError(f"{name} needs a file")
            value = rest.pop(0)
        named["output" if name == "-o" else "config"] = Path(value)
    return GlobalOptions(config=named.get("config"), output=named.get("output")), rest


def _named(argument: str) -> tuple[str, str | None] | None:
    """Tell which global option an argument is, and the value in it if there is one."""
    if argument in ("-c", "--config", "-o"):
        return argument, None
    if argument.startswith("--config="):
        return "--config", argument.removeprefix("--config=")
    if argument[:2] in ("-c", "-o") and not argument.startswith("--"):
        return argument[:2], argument[2:].removeprefix("=")
    return None


def output_to(path: Path | None, call: Callable[[], int]) -> int:
    """Call something, and write what it prints to a file once it has succeeded.

    Raises:
        EnvironmentFault: the file cannot be written.
    """
    if path is None:
        return call()
    buffer = io.BytesIO()
    stream = io.TextIOWrapper(buffer, encoding="utf-8", newline="\n", write_through=True)
    with contextlib.redirect_stdout(stream):
        code = call()
        sys.stdout.flush()
    if not code:
        write_atomically(path, buffer.getvalue(), mode=0o644)
    return code
