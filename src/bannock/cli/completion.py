"""``scone completion``: complete command lines in a shell."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING, Final

from bannock.cli.cas_options import SconeParser
from bannock.cli.help_pages import help_pages

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["main"]

_DESCRIPTION: Final = """\
Print what makes a shell complete the commands and options of `scone`, and the names of files."""
_EXAMPLES: Final = """\
  source <(scone completion bash)
      for this shell
  scone completion bash > ~/.local/share/bash-completion/completions/scone
      for every shell from now on"""

_OPTION: Final = re.compile(r"(?<![\w-])(--?[A-Za-z][\w-]*)")
_BEFORE: Final = ("--config", "-c", "-o", "--help", "--version")
_SCRIPT: Final = """\
# Completion of scone for bash.
declare -A _scone_words=(
%s
)
_scone() {
    local current=${COMP_WORDS[COMP_CWORD]} path= next word index
    for ((index = 1; index < COMP_CWORD; index++)); do
        word=${COMP_WORDS[index]}
        next=${path:+$path }$word
        [[ -n ${_scone_words[$next]+set} ]] || continue
        path=$next
    done
    COMPREPLY=($(compgen -W "${_scone_words[${path:-.}]}" -- "$current"))
}
complete -o default -F _scone scone
"""


def main(arguments: Sequence[str]) -> int:
    """Parse, print."""
    parser = SconeParser("completion", _DESCRIPTION, _EXAMPLES)
    parser.add_argument("shell", choices=("bash",), help="which shell")
    parser.parse(arguments)
    sys.stdout.write(_SCRIPT % "\n".join(_entries()))
    return 0


def _entries() -> Iterator[str]:
    """Yield what may follow each word, and each pair of words."""
    below: dict[str, list[str]] = {".": [*_BEFORE]}
    for words, text in help_pages():
        for end in range(len(words)):
            group = " ".join(words[:end]) or "."
            followers = below.setdefault(group, [])
            if words[end] not in followers:
                followers.append(words[end])
        below[" ".join(words)] = list(_options(text))
    return (f"    [{path!r}]='{' '.join(followers)}'" for path, followers in below.items())


def _options(text: str) -> Iterator[str]:
    seen: set[str] = set()
    for line in text.splitlines():
        if not line.startswith("  -"):
            continue
        # Behind two spaces stands what an option does.
        for option in _OPTION.findall(re.split(r"(?<=\S)  ", line, maxsplit=1)[0]):
            if option not in seen:
                seen.add(option)
                yield option
