"""What may stand where on a command line, as the parsers have it: what completions of shells are made of."""

from __future__ import annotations

import argparse
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bannock.cli.commands import command_named, verbs_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from bannock.cli.commands import Verb
    from bannock.cli.options import Parser

__all__ = ["Argument", "Kind", "Option", "Point", "Value", "points"]

_DIRECTORIES: Final = frozenset({"DIR", "DIRECTORY"})
_FILES: Final = frozenset({"FILE", "KEY", "APPLICATION", "LOG_FILE_PATH"})
#: Options that stand before a verb.
_BEFORE: Final[Mapping[str, tuple[tuple[tuple[str, ...], str, str], ...]]] = {
    "scone": (
        (("-c", "--config"), "FILE", "the state of this command, and so another identity"),
        (("-o",), "FILE", "write the output to a file"),
    ),
}


class Kind:
    """What a value is."""

    ANYTHING: Final = "anything"
    FILE: Final = "file"
    DIRECTORY: Final = "directory"


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """What follows an option, or is an argument.

    Attributes:
        label: what help calls it.
        choices: all that it can be; none if it is free.
        kind: what it is then.
    """

    label: str
    choices: tuple[str, ...] = ()
    kind: str = Kind.ANYTHING


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """An option.

    Attributes:
        names: with their dashes.
        what: it does, in one line.
        value: that follows it; None for none.
        is_repeatable: whether it may come several times.
    """

    names: tuple[str, ...]
    what: str
    value: Value | None = None
    is_repeatable: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Argument:
    """An argument.

    Attributes:
        value: it.
        is_many: whether several may come.
    """

    value: Value
    is_many: bool = False


@dataclass(slots=True, kw_only=True)
class Point:
    """How far a command line is: what has been typed, and what may follow.

    Attributes:
        path: the words so far that lead here, with that of the command.
        followers: words that lead on, and what they do.
        options, arguments: what may come here.
    """

    path: tuple[str, ...]
    followers: dict[str, str] = field(default_factory=dict)
    options: tuple[Option, ...] = ()
    arguments: tuple[Argument, ...] = ()

    @property
    def name(self) -> str:
        """The words that lead here."""
        return " ".join(self.path)


def points(names: Iterable[str]) -> list[Point]:
    """Return every point of commands, each before those that it leads to."""
    found: dict[tuple[str, ...], Point] = {}
    for name in names:
        for verb in verbs_of(command_named(name)):
            _add(found, verb)
    for point in found.values():
        for word, what in point.followers.items():
            if not what:
                point.followers[word] = ", ".join(found[*point.path, word].followers)
    return list(found.values())


def _add(found: dict[tuple[str, ...], Point], verb: Verb) -> None:
    path = (verb.command, *verb.words)
    for end in range(1, len(path)):
        above = found.setdefault(path[:end], Point(path=path[:end], options=tuple(_general(path[:end]))))
        # What a group is for is told by what is in it, once that is known.
        summary = verb.summary if end + 1 == len(path) else ""
        above.followers.setdefault(path[end], summary)
    here = found.setdefault(path, Point(path=path))
    here.options, here.arguments = _of(verb.parser)
    for part, parser in verb.parts.items():
        here.followers[part] = (parser.description or part).split(".")[0].split("\n")[0].split(":")[0]
        options, arguments = _of(parser)
        found[(*path, part)] = Point(path=(*path, part), options=options, arguments=arguments)


def _general(path: Sequence[str]) -> Iterator[Option]:
    if len(path) == 1:
        for names, label, what in _BEFORE.get(path[0], ()):
            yield Option(names=names, what=what, value=Value(label=label, kind=Kind.FILE))
        yield Option(names=("-V", "--version"), what="show the version of this command")
    yield Option(names=("-h", "--help"), what="show what there is")


def _of(parser: Parser) -> tuple[tuple[Option, ...], tuple[Argument, ...]]:
    shown = [action for action in parser._actions if action.help is not argparse.SUPPRESS]  # noqa: SLF001 - no other way
    return (
        tuple(_option(action) for action in shown if action.option_strings),
        tuple(_argument(action) for action in shown if not action.option_strings),
    )


def _option(action: argparse.Action) -> Option:
    repeatable = type(action).__name__ in {"_AppendAction", "_CountAction"}
    value = None if action.nargs == 0 else _value(action)
    return Option(names=tuple(action.option_strings), what=_line(action), value=value, is_repeatable=repeatable)


def _argument(action: argparse.Action) -> Argument:
    return Argument(value=_value(action), is_many=action.nargs in {"*", "+", argparse.REMAINDER})


def _value(action: argparse.Action) -> Value:
    label = action.metavar if isinstance(action.metavar, str) else action.dest.upper()
    choices = tuple(str(choice) for choice in action.choices or ())
    if label in _DIRECTORIES:
        kind = Kind.DIRECTORY
    else:
        kind = Kind.FILE if label in _FILES or action.type is Path else Kind.ANYTHING
    return Value(label=label, choices=choices, kind=kind)


def _line(action: argparse.Action) -> str:
    return " ".join((action.help or "").replace("%%", "%").split())
