"""``sconectl schema``: the JSON Schema of manifests, for editors."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

from bannock.cli.options import Parser
from bannock.mesh.manifests.schema import KINDS, schema_text

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]

_DESCRIPTION: Final = "Print the JSON Schema of the manifests of a kind: editors complete and check with it."
_EXAMPLES: Final = """\
  sconectl schema genservice > genservice.json
      # yaml-language-server: $schema=genservice.json    (first line of service.yaml)"""


def main(arguments: Sequence[str]) -> int:
    """Parse, print."""
    parser = Parser("schema", _DESCRIPTION, _EXAMPLES, command="sconectl")
    parser.add_argument("kind", choices=KINDS, help="kind of the manifest")
    sys.stdout.write(schema_text(parser.parse_args(arguments).kind))
    return 0
