"""``bannock las serve``: serve the local attestation service of this host."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bannock.cli.logs import log_to_stderr
from bannock.cli.options import Parser, conf_directory, pairs
from bannock.errors import InputError
from bannock.evidence.modes import Mode, mode_of
from bannock.evidence.platforms import Places, TpmUse, choose
from bannock.evidence.rehearsal.knobs import Rehearsal
from bannock.files import private_directory
from bannock.las.key import kept_key
from bannock.las.renewal import RENEW_HOURS
from bannock.las.service import serve
from bannock.net.address import Address
from bannock.policy.claims import HARDWARE, MACHINES, SIMULATED, platform_name

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from bannock.evidence.platforms import ReportAttester

__all__ = ["main"]

_log = logging.getLogger("bannock.las")

_PORT: Final = 18766
_AUTO: Final = "auto"
#: Certificates and collateral of vendors are good for about a month.
_RENEW_HOURS_MAX: Final = 24.0 * 28

_DESCRIPTION: Final = """\
Serve reports of enclaves on this host: the service measures the process that asks, by the kernel's word and not by the
process's, and signs what it found. What vouches for the service is the strongest platform there is: tdx or sev-snp,
then tpm, then sim, which proves nothing to others than the owner of this machine. On hardware the key of the service
is made at its start, lives in memory alone, and is renewed together with the quote for it; SIGHUP renews them at once.

With --simulate, the service rehearses a platform: it gives quotes in the platform's own format, by a make-believe
vendor that is made on the spot. Sessions take them for platform sim, and so only where they tolerate simulation; all
else about them is looked at as if they were genuine.

environment:
  SCONE_MODE        hw refuses to serve without hardware, sim does without, auto (the default) takes what there is
  TPM2TOOLS_TCTI    the TPM, where it is no device of this machine, as tpm2-tools take it"""
_EXAMPLES: Final = """\
  bannock las serve
  SCONE_MODE=hw bannock las serve --renew-hours 6
  bannock las serve --simulate tdx --rehearse outdated-tcb,debug
  bannock las serve --unix /run/las.sock --no-tcp"""


def main(arguments: Sequence[str]) -> int:
    """Parse, choose the platform, serve until SIGINT or SIGTERM."""
    parser = Parser("las serve", _DESCRIPTION, _EXAMPLES)
    parser.add_argument(
        "--listen", default=f"127.0.0.1:{_PORT}", metavar="HOST[:PORT]", help=f"default 127.0.0.1:{_PORT}"
    )
    parser.add_argument("--no-tcp", action="store_true", help="do not listen on TCP")
    parser.add_argument("--unix", type=Path, metavar="PATH", help="listen on a unix socket too")
    parser.add_argument("--conf", type=Path, metavar="DIR", help="key of the LAS ($BANNOCK_HOME or ~/.config/bannock)")
    parser.add_argument(
        "--platform", choices=(_AUTO, SIMULATED, *sorted(MACHINES)), default=_AUTO, help="what vouches for the service"
    )
    parser.add_argument(
        "--simulate", choices=sorted(HARDWARE), metavar="PLATFORM", help="rehearse sgx, tdx, sev-snp or tpm"
    )
    parser.add_argument(
        "--rehearse",
        default="",
        metavar="WHAT[,WHAT…]",
        help=f"with --simulate, what is to go wrong: {', '.join(Rehearsal.choices())}",
    )
    parser.add_argument(
        "--machine",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="with --simulate, what the platform says of the machine, by the names that sessions use: mrtd=HEX",
    )
    parser.add_argument(
        "--renew-hours",
        type=float,
        default=RENEW_HOURS,
        metavar="HOURS",
        help=f"for how long key and quote are in force ({RENEW_HOURS:g})",
    )
    parser.add_argument(
        "--tpm-pcrs", metavar="BANK:N,…", help="registers that the TPM quotes (those that a start goes into)"
    )
    parser.add_argument(
        "--no-event-log", action="store_true", help="quotes of the TPM come without the firmware's log"
    )
    parsed = parser.parse_args(arguments)
    if not 0 < parsed.renew_hours <= _RENEW_HOURS_MAX:
        raise InputError(f"--renew-hours is above 0 and at most {_RENEW_HOURS_MAX:g}, found {parsed.renew_hours:g}")
    log_to_stderr()
    conf = private_directory(conf_directory(parsed.conf, os.environ)) / "las"
    listen = None if parsed.no_tcp else Address.parse(parsed.listen, default_port=_PORT)
    places = [str(place) for place in (listen, parsed.unix and f"unix:{parsed.unix}") if place]
    attester = _attester(parsed, conf)

    def ready() -> None:
        platform = platform_name(attester.platform, attester.rehearses)
        sys.stdout.write(f"LAS at {', '.join(places)}: platform {platform}\n")
        sys.stdout.flush()

    serve(attester, listen=listen, unix=parsed.unix, renew_hours=parsed.renew_hours, ready=ready)
    return 0


def _attester(parsed: argparse.Namespace, conf: Path) -> ReportAttester:
    mode = mode_of(os.environ)
    if parsed.simulate is None:
        if parsed.rehearse or parsed.machine:
            raise InputError("--rehearse and --machine need --simulate PLATFORM")
        wanted = None if parsed.platform == _AUTO else parsed.platform
        tpm = TpmUse(
            directory=private_directory(conf) / "tpm", pcrs=parsed.tpm_pcrs, event_log=not parsed.no_event_log
        )
        chosen = choose(mode, wanted, Places.of(os.environ, tpm), lambda: kept_key(conf))
        _log.info("platform %s: %s", chosen.attester.platform, chosen.reason)
        return chosen.attester
    if mode is Mode.HW or parsed.platform not in {_AUTO, SIMULATED}:
        raise InputError(
            "--simulate is platform sim, and hardware was asked for", hint="leave SCONE_MODE and --platform out"
        )
    # Vendors are imported by who rehearses them alone.
    from bannock.las.rehearsal import rehearse  # noqa: PLC0415

    knobs = Rehearsal.parse(name for name in parsed.rehearse.split(",") if name)
    return rehearse(parsed.simulate, knobs, conf, machine=pairs("--machine", parsed.machine))
