"""``bannock cas forecast``: the forecast of a CAS on this machine, from its database; without an owner too."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bannock.cas.config import load_config
from bannock.cas.forecast_api import moment, outlook_document
from bannock.cas.service import Cas
from bannock.cli.cas_forecast import days_of
from bannock.cli.forecast_text import forecast_lines
from bannock.cli.options import Parser, conf_directory
from bannock.errors import InputError
from bannock.files import private_directory

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]

_DESCRIPTION: Final = """\
Tell for every service on every machine when it would stop attesting, and why, from the database of a CAS on this
machine. The CAS may run meanwhile. `scone cas forecast` asks a CAS elsewhere, as its owner."""
_EXAMPLES: Final = """\
  bannock cas forecast --config /etc/bannock/cas.toml --days 14"""


def main(arguments: Sequence[str]) -> int:
    """Parse, judge, print."""
    parser = Parser("cas forecast", _DESCRIPTION, _EXAMPLES)
    parser.add_argument("--config", type=Path, metavar="FILE", help="of the CAS, as for cas serve")
    parser.add_argument("--conf", type=Path, metavar="DIR", help="files ($BANNOCK_HOME or ~/.config/bannock)")
    parser.add_argument("--days", metavar="DAYS", help="only what would stop within so many days")
    parser.add_argument("--json", action="store_true", help="as JSON")
    parsed = parser.parse_args(arguments)
    days = days_of(parsed.days)
    conf = private_directory(conf_directory(parsed.conf, os.environ))
    config = load_config(parsed.config, home=private_directory(conf / "cas"))
    if config.postgresql is None and not config.database.exists():
        raise InputError(f"there is no CAS in {config.database}")
    with Cas(config) as cas:
        at = cas.forecasting.now
        found = [outlook_document(each) for each in cas.forecasting.forecast(days=days)]
    if parsed.json:
        sys.stdout.write(f"{json.dumps({'at': moment(at), 'outlooks': found}, indent=2)}\n")
        return 0
    sys.stdout.write("".join(f"{line}\n" for line in forecast_lines(found, at, days=days)))
    return 0
