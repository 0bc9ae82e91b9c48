"""``scone completion``: complete its command lines in a shell."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

from bannock.cli.cas_options import SconeParser
from bannock.cli.completion import SHELLS, completion

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]

_DESCRIPTION: Final = """\
Print what makes a shell complete the words, options and values of `scone`, and names of files; `bannock completion`
does it for all commands."""
_EXAMPLES: Final = """\
  source <(scone completion bash)
      for this shell; likewise in zsh, after compinit
  scone completion fish | source
      for this fish"""


def main(arguments: Sequence[str]) -> int:
    """Parse, print."""
    parser = SconeParser("completion", _DESCRIPTION, _EXAMPLES)
    parser.add_argument("shell", choices=SHELLS, metavar="SHELL", help=f"which shell: {', '.join(SHELLS)}")
    sys.stdout.write(completion(parser.parse(arguments).shell, ["scone"]))
    return 0
