"""Completion for fish: one ``complete`` for each word and option, with what it does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from bannock.cli.completable import Kind

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bannock.cli.completable import Option, Point, Value

__all__ = ["fish_script"]

_SCRIPT: Final = """\
# Completion of %(commands)s for fish.
set -g __bannock_points \\
%(points)s
function __bannock_at
    set -l words (commandline -opc)
    set -l here (string replace -r '.*/' '' -- $words[1])
    for word in $words[2..-1]
        if contains -- "$here $word" $__bannock_points
            set here "$here $word"
        end
    end
    test "$here" = "$argv"
end
%(completions)s
"""


def fish_script(commands: Sequence[str], found: Sequence[Point]) -> str:
    """Return the script."""
    return _SCRIPT % {
        "commands": " ".join(commands),
        "points": " \\\n".join(f"    {_quoted(point.name)}" for point in found),
        "completions": "\n".join(line for point in found for line in _completions(point)),
    }


def _completions(point: Point) -> Iterator[str]:
    start = f"complete -c {point.path[0]} -n {_quoted(f'__bannock_at {point.name}')}"
    if not any(argument.value.kind != Kind.ANYTHING for argument in point.arguments):
        yield f"{start} -f"
    for word, what in point.followers.items():
        yield f"{start} -a {_quoted(word)} -d {_quoted(what)}"
    for argument in point.arguments:
        if argument.value.choices:
            yield f"{start} -a {_quoted(' '.join(argument.value.choices))}"
        elif argument.value.kind == Kind.DIRECTORY:
            yield f"{start} -a '(__fish_complete_directories)'"
    for option in point.options:
        yield f"{start} {_option(option)}"


def _option(option: Option) -> str:
    names = [f"-l {name[2:]}" if name.startswith("--") else _short(name) for name in option.names]
    value = "" if option.value is None else _value(option.value)
    return f"{' '.join(names)}{value} -d {_quoted(option.what)}"


def _short(name: str) -> str:
    # More than a letter behind one dash is fish's "old" form.
    return f"-s {name[1:]}" if len(name) == len("-x") else f"-o {name[1:]}"


def _value(value: Value) -> str:
    if value.choices:
        return f" -x -a {_quoted(' '.join(value.choices))}"
    if value.kind == Kind.DIRECTORY:
        return " -x -a '(__fish_complete_directories)'"
    return " -r -F" if value.kind == Kind.FILE else " -x"


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
