"""Completion for zsh: words by ``_describe``, options and arguments by ``_arguments``, each with what it does."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Final

from bannock.cli.completable import Kind

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bannock.cli.completable import Option, Point, Value

__all__ = ["zsh_script"]

_SCRIPT: Final = """\
#compdef %(commands)s
# Completion of %(commands)s for zsh.
_bannock_complete() {
    local -a followers points
    local here=${words[1]:t} word index last=1
    points=(
%(points)s
    )
    for ((index = 2; index < CURRENT; index++)); do
        word=${words[index]}
        if (( ${points[(Ie)$here $word]} )); then
            here="$here $word"
            last=$index
        fi
    done
    words=("${(@)words[last,-1]}")
    ((CURRENT -= last - 1))
    case $here in
%(cases)s
    esac
}
# Loaded from a file of $fpath, this is run as the completion; sourced, it has to be told whose it is.
if [[ $funcstack[1] == _bannock ]]; then
    _bannock_complete "$@"
else
    compdef _bannock_complete %(commands)s
fi
"""
_CASE: Final = """\
    (%(name)s)
        followers=(%(followers)s)
        if (( $#followers && CURRENT == 2 )) && [[ $PREFIX != -* ]]; then
            _describe -t commands command followers
        else
            _arguments -S : \\
%(specifications)s
        fi
        ;;"""


def zsh_script(commands: Sequence[str], found: Sequence[Point]) -> str:
    """Return the script; it may be sourced, or be the file ``_bannock`` in a directory of ``$fpath``."""
    return _SCRIPT % {
        "commands": " ".join(commands),
        "points": "\n".join(f"        {shlex.quote(point.name)}" for point in found),
        "cases": "\n".join(map(_case, found)),
    }


def _case(point: Point) -> str:
    specifications = [*(each for option in point.options for each in _option(option)), *_arguments(point)]
    # Where arguments come first, words that lead on are offered among them.
    followers = {} if point.arguments else point.followers
    return _CASE % {
        "name": shlex.quote(point.name),
        "followers": " ".join(shlex.quote(f"{_plain(word)}:{what}") for word, what in followers.items()),
        "specifications": " \\\n".join(f"                {shlex.quote(each)}" for each in specifications),
    }


def _option(option: Option) -> Iterator[str]:
    others = "" if option.is_repeatable else f"({' '.join(option.names)})"
    for name in option.names:
        what = f"[{_plain(option.what)}]"
        if option.value is None:
            yield f"{'*' if option.is_repeatable else ''}{others}{name}{what}"
        else:
            sign = "=" if name.startswith("--") else "+"
            yield f"{'*' if option.is_repeatable else ''}{others}{name}{sign}{what}{_value(option.value)}"


def _arguments(point: Point) -> Iterator[str]:
    many = False
    for argument in point.arguments:
        many = many or argument.is_many
        yield f"{'*' if argument.is_many else ''}{_value(argument.value)}"
    if point.followers and point.arguments and not many:
        yield f"*:word:({' '.join(point.followers)})"


def _value(value: Value) -> str:
    """Give what a value is called, and what completes it; a blank completes nothing."""
    if value.choices:
        action = f"({' '.join(value.choices)})"
    else:
        action = {Kind.FILE: "_files", Kind.DIRECTORY: "_files -/"}.get(value.kind, " ")
    return f":{_plain(value.label)}:{action}"


def _plain(text: str) -> str:
    for sign in "\\[]:":
        text = text.replace(sign, f"\\{sign}")
    return text
