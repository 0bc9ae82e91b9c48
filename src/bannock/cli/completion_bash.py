"""Completion for bash: two tables, and one function that looks things up in them."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Final

from bannock.cli.completable import Kind

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bannock.cli.completable import Point

__all__ = ["bash_script"]

_SCRIPT: Final = """\
# Completion of %(commands)s for bash.
# Words that may follow; after a |, options.
declare -gA _bannock_words=(
%(words)s
)
# Values of options: what there is, or @directory.
declare -gA _bannock_values=(
%(values)s
)
_bannock_complete() {
    local current=${COMP_WORDS[COMP_CWORD]} path=${1##*/} word index before= values
    for ((index = 1; index < COMP_CWORD; index++)); do
        word=${COMP_WORDS[index]}
        [[ -n ${_bannock_words[$path $word]+set} ]] && path="$path $word"
    done
    ((COMP_CWORD > 0)) && before=${COMP_WORDS[COMP_CWORD - 1]}
    # Bash takes --option=value apart.
    if [[ $current == "=" ]]; then
        current=
    elif [[ $before == "=" ]]; then
        before=${COMP_WORDS[COMP_CWORD - 2]}
    fi
    COMPREPLY=()
    if [[ -n ${_bannock_values[$path|$before]+set} ]]; then
        values=${_bannock_values[$path|$before]}
        if [[ $values == @directory ]]; then
            compopt -o filenames
            mapfile -t COMPREPLY < <(compgen -d -- "$current")
        elif [[ -n $values ]]; then
            mapfile -t COMPREPLY < <(compgen -W "$values" -- "$current")
        fi
        return
    fi
    values=${_bannock_words[$path]}
    if [[ $current == -* ]]; then
        values=${values#*|}
    elif [[ -n ${values%%|*} ]]; then
        values=${values%%|*}
    elif [[ $values == *"|@"* ]]; then
        return
    fi
    values=${values//|/ }
    mapfile -t COMPREPLY < <(compgen -W "${values/@/}" -- "$current")
}
complete -o bashdefault -o default -F _bannock_complete %(commands)s
"""


def bash_script(commands: Sequence[str], found: Sequence[Point]) -> str:
    """Return the script; what is no word of ours is completed as bash does by itself, which is with names of files."""
    return _SCRIPT % {
        "commands": " ".join(commands),
        "words": "\n".join(_words(point) for point in found),
        "values": "\n".join(line for point in found for line in _values(point)),
    }


def _words(point: Point) -> str:
    choices = [choice for argument in point.arguments for choice in argument.value.choices]
    options = " ".join(name for option in point.options for name in option.names)
    # An @ stands for arguments that are free, so that names of files are offered and not options.
    free = "@" if any(not argument.value.choices for argument in point.arguments) else ""
    words = " ".join([*point.followers, *choices])
    if free and point.followers:
        words = ""
        options = " ".join((*point.followers, options))
    return f"    [{shlex.quote(point.name)}]={shlex.quote(f'{words}|{free}{options}')}"


def _values(point: Point) -> Iterator[str]:
    for option in point.options:
        if option.value is None:
            continue
        values = "@directory" if option.value.kind == Kind.DIRECTORY else " ".join(option.value.choices)
        for name in option.names:
            yield f"    [{shlex.quote(f'{point.name}|{name}')}]={shlex.quote(values)}"
