"""What somebody probably meant who typed a command that there is not. Loaded for whoever does."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Final

from bannock.cli.commands import commands
from bannock.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from bannock.cli.command import Command

__all__ = ["unknown_command"]

_NEAR: Final = 0.6
_SHOWN: Final = 3


def unknown_command(command: Command, arguments: Sequence[str]) -> InputError:
    """Return the error for a command line that begins with no verb.

    Args:
        command: that was typed.
        arguments: what followed.
    """
    words = list(arguments)
    if words and words[0].startswith("-"):
        return InputError(
            f"`{command.name}` has no option {words[0]}",
            hint=f"options stand behind the command that they are of: {command.name} COMMAND {words[0]}",
        )
    below = [verb for verb in command.verbs if verb[:1] == tuple(words[:1])]
    group = f"{command.name} {words[0]}" if below else command.name
    lists = f"`{group} --help` lists all"
    if len(below) > 1 and len(words) == 1:
        return InputError(f"`{group}` needs a command: {', '.join(' '.join(verb[1:]) for verb in below)}", hint=lists)
    meant = _in_group(command.name, below, words) if below else _anywhere(command, words)
    shown = " or ".join(f"`{name}`" for name in dict.fromkeys(meant[:_SHOWN]))
    return InputError(
        f"there is no command `{' '.join((command.name, *words[: 2 if below else 1]))}`",
        hint=f"did you mean {shown}? {lists}" if shown else lists,
    )


def _in_group(name: str, below: Sequence[tuple[str, ...]], words: Sequence[str]) -> list[str]:
    if len(below) == 1:
        return [_name(name, below[0])]
    if other := _elsewhere(name, words):
        return other
    spoken = {" ".join(verb[1:]): verb for verb in below}
    near = difflib.get_close_matches(" ".join(words[1 : 1 + max(map(len, below)) - 1]), spoken, n=1, cutoff=_NEAR)
    near = near or difflib.get_close_matches(words[1], spoken, n=1, cutoff=_NEAR)
    return [_name(name, spoken[found]) for found in near]


def _anywhere(command: Command, words: Sequence[str]) -> list[str]:
    name, own = command.name, list(command.verbs)
    if other := _elsewhere(name, words):
        return other
    swapped = [verb for verb in own if set(verb) == set(words[: len(verb)])]
    ending = [verb for verb in own if verb[-1] == words[0]]
    if swapped or ending:
        return [_name(name, verb) for verb in swapped or ending]
    return [_name(name, verb) for verb in _close(own, words)]


def _elsewhere(name: str, words: Sequence[str]) -> list[str]:
    """Return the commands of other names that have just this verb."""
    return [
        _name(other.name, verb)
        for other in commands()
        for verb in other.verbs
        if other.name != name and verb and verb == tuple(words[: len(verb)])
    ]


def _close(verbs: Iterable[tuple[str, ...]], words: Sequence[str]) -> list[tuple[str, ...]]:
    spoken = {" ".join(verb): verb for verb in verbs}
    groups = {verb[0]: verb[:1] for verb in spoken.values()}
    for typed, known in ((" ".join(words[:2]), spoken), (words[0], {**groups, **spoken})):
        near = difflib.get_close_matches(typed, known, n=1, cutoff=_NEAR)
        if near:
            return [known[near[0]]]
    return [verb for text, verb in spoken.items() if words[0] in text.replace("-", " ").split()]


def _name(command: str, verb: tuple[str, ...]) -> str:
    return " ".join((command, *verb))
