"""``scone cas update-config``: configure a CAS that one owns."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bannock.cli.cas_options import SconeParser, add_cas, cas_of
from bannock.remote.owner_client import read_config_file, update_config

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]

_DESCRIPTION: Final = """\
Replace the configuration of a CAS by that in a file. Only its owner can: the identity that has provisioned it."""
_EXAMPLES: Final = """\
  scone cas update-config --config-file cas-config.toml
  scone cas update-config --cas cas.example.com --config-file cas-config.yaml --identity owner.pem"""


def main(arguments: Sequence[str]) -> int:
    """Parse, send."""
    parser = SconeParser("cas update-config", _DESCRIPTION, _EXAMPLES)
    parser.add_argument(
        "--config-file", type=Path, required=True, metavar="FILE", help="configuration of the CAS: TOML, JSON or YAML"
    )
    add_cas(parser)
    parsed = parser.parse(arguments)
    config = read_config_file(parsed.config_file)
    with cas_of(parsed) as cas:
        update_config(cas, config)
        sys.stdout.write(f"The configuration of the CAS at https://{cas.address}/ was updated\n")
    return 0
