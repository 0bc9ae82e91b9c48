"""``bannock completion``: complete command lines in a shell."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

from bannock.cli.commands import MODULES
from bannock.cli.completable import points
from bannock.cli.completion_bash import bash_script
from bannock.cli.completion_fish import fish_script
from bannock.cli.completion_zsh import zsh_script
from bannock.cli.options import Parser

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from bannock.cli.completable import Point

__all__ = ["SHELLS", "completion", "main"]

SHELLS: Final[Mapping[str, Callable[[Sequence[str], Sequence[Point]], str]]] = {
    "bash": bash_script,
    "zsh": zsh_script,
    "fish": fish_script,
}
_DESCRIPTION: Final = f"""\
Print what makes a shell complete the words, options and values of these commands, and names of files:
{", ".join(MODULES)}."""
_EXAMPLES: Final = """\
  source <(bannock completion bash)
      for this shell; likewise in zsh, after compinit
  bannock completion fish | source
      for this fish
  bannock completion bash > ~/.bannock.bash && echo "source ~/.bannock.bash" >> ~/.bashrc
  bannock completion zsh > ~/.zsh/functions/_bannock
  bannock completion fish > ~/.config/fish/conf.d/bannock.fish
      for every shell from now on; the directory for zsh has to be in $fpath before compinit is called"""


def main(arguments: Sequence[str]) -> int:
    """Parse, print."""
    parser = Parser("completion", _DESCRIPTION, _EXAMPLES)
    parser.add_argument("shell", choices=SHELLS, metavar="SHELL", help=f"which shell: {', '.join(SHELLS)}")
    sys.stdout.write(completion(parser.parse_args(arguments).shell, list(MODULES)))
    return 0


def completion(shell: str, commands: Sequence[str]) -> str:
    """Return what a shell has to read to complete commands."""
    return SHELLS[shell](commands, points(commands))
