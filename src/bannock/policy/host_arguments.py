"""Host arguments: what a session leaves to whoever starts a service, ``@@1``, ``@@*`` and ``@@NAME``.

Pure, and light to import: the runtime puts them in. Nothing else of the host's gets to an application.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from bannock.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

__all__ = ["REST", "fill_arguments", "fill_environment", "host_name", "host_position", "require_host_arguments"]

#: ``@@*``: every argument of the host that is not named by its position, in their order.
REST: Final = 0

_ARGUMENT: Final = re.compile(r"@@(?P<position>[1-9][0-9]{0,3}|\*)")
#: ``\@\@NAME`` is how the reference writes it, where a plain YAML key cannot begin with ``@``.
_NAME: Final = re.compile(r"(?:@@|\\@\\@)(?P<name>[^=\0]+)")


def host_position(text: str) -> int | None:
    """Give the position that a word of a command leaves to the host, :data:`REST` for ``@@*``; None if it is plain."""
    match = _ARGUMENT.fullmatch(text)
    if match is None:
        return None
    return REST if match["position"] == "*" else int(match["position"])


def host_name(text: str) -> str | None:
    """Give the name of the variable that an entry of an environment leaves to the host; None if it is plain."""
    match = _NAME.fullmatch(text)
    return None if match is None else match["name"]


def require_host_arguments(argv: Sequence[str], left: Collection[int]) -> None:
    """Accept which words of a command are left to the host.

    Raises:
        InputError: one of them is no host argument, or two are for the same position.
    """
    positions: list[int] = []
    for index in left:
        position = host_position(argv[index]) if 0 <= index < len(argv) else None
        if position is None:
            raise InputError("what is left to the host is not of the form @@1 or @@*")
        positions.append(position)
    for position in positions:
        if positions.count(position) > 1:
            raise InputError(f"the command has the host argument {_text(position)} twice")


def fill_arguments(argv: Sequence[str], left: Collection[int], given: Sequence[str]) -> tuple[str, ...]:
    """Put the host's arguments where the session leaves room for them.

    Args:
        argv: the command of the session.
        left: the indexes in it of words that are left to the host (:func:`require_host_arguments`).
        given: the host's arguments, without the name of the program.

    Raises:
        InputError: the session wants one that the host does not give.
    """
    wanted = {index: host_position(argv[index]) for index in left}
    missing = sorted(position for position in wanted.values() if position is not None and position > len(given))
    if missing:
        names = ", ".join(_text(position) for position in missing)
        raise InputError(
            f"the session asks for the host arguments {names}, and {len(given)} were given",
            hint=f"start the program with {missing[-1]} arguments at least",
        )
    rest = [word for position, word in enumerate(given, start=1) if position not in wanted.values()]
    filled: list[str] = []
    for index, word in enumerate(argv):
        position = wanted.get(index)
        if position is None:
            filled.append(word)
        elif position == REST:
            filled += rest
        else:
            filled.append(given[position - 1])
    return tuple(filled)


def fill_environment(
    environment: Mapping[str, str], left: Collection[str], given: Mapping[str, str]
) -> dict[str, str]:
    """Add the variables that the session leaves to the host; one that the host has not is empty."""
    return {**environment, **{name: given.get(name, "") for name in left}}


def _text(position: int) -> str:
    return "@@*" if position == REST else f"@@{position}"
