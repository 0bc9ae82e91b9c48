"""``scone help-markdown``: the help of every command as one document."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

from bannock.cli.cas_options import SconeParser
from bannock.cli.help_pages import help_pages

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]

_DESCRIPTION: Final = "Print the help of every command as one document in Markdown."
_EXAMPLES: Final = """\
  scone help-markdown > scone.md"""


def main(arguments: Sequence[str]) -> int:
    """Parse, print."""
    SconeParser("help-markdown", _DESCRIPTION, _EXAMPLES).parse(arguments)
    sys.stdout.write("# scone\n")
    for words, text in help_pages():
        sys.stdout.write(f"\n## scone {' '.join(words)}\n\n```\n{text.strip()}\n```\n")
    return 0
