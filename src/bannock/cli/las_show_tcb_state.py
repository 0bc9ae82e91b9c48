"""``scone las show-tcb-state``: how up to date the platform of a LAS is."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from bannock.cli.cas_options import SconeParser
from bannock.cli.las_options import add_collateral, add_las, add_timeout, asked, endorsed, require_hardware
from bannock.errors import DeniedError
from bannock.evidence.quotes import SgxQuote, SnpQuote, TdxQuote, TpmQuote
from bannock.evidence.verifier import verify_quote
from bannock.policy.claims import SIMULATED, platform_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bannock.cli.las_options import Attester
    from bannock.evidence.appraisal import PlatformAppraisal

__all__ = ["main"]

_DESCRIPTION: Final = """\
Verify the quote of a LAS and tell how up to date its platform is: the vendor's word for its state, the advisories
that apply, and until when that holds. What the vendor vouches for comes with the quote or from a directory; nothing is
asked of the vendor. A platform that is rehearsed is told of like the one it stands for, and is `sim` all the same.
Platform `sim` alone has nothing that could be out of date: the command says so, and ends with an error."""
_EXAMPLES: Final = """\
  scone las show-tcb-state --las localhost
  scone las show-tcb-state --collateral ~/.cas/collateral --json summary"""
_OUTDATED: Final = "outdated-tcb"


def main(arguments: Sequence[str]) -> int:
    """Parse, ask, verify, print."""
    parser = SconeParser("las show-tcb-state", _DESCRIPTION, _EXAMPLES)
    add_las(parser)
    add_timeout(parser)
    add_collateral(parser)
    parser.add_argument("--dcap-api-key", metavar="KEY", help="subscription key of the PCS; not used")
    parser.add_argument(
        "--dont-fail-on-upgradable-pck-certificate",
        action="store_true",
        help="no effect: the certificate comes with each quote, and is judged with it",
    )
    parser.add_argument(
        "--fail-on-upgradable-platform-tcb", action="store_true", help="fail if the platform is out of date"
    )
    parser.add_argument("--json", choices=("summary",), help="print an object in JSON")
    parsed = parser.parse(arguments)
    attester = asked(parsed)
    require_hardware(attester, "TCB state", SgxQuote, TdxQuote, SnpQuote, TpmQuote)
    now = datetime.now(UTC)
    attester, known = endorsed(parsed, attester, now)
    found = verify_quote(attester.platform.quote, known, now)
    if parsed.json:
        sys.stdout.write(json.dumps(_summary(attester, found), indent=2) + "\n")
    else:
        sys.stdout.write("".join(f"{line}\n" for line in _lines(attester, found)))
    if parsed.fail_on_upgradable_platform_tcb and _OUTDATED in found.weaknesses:
        raise DeniedError(
            f"the platform of the LAS at {attester.address} is out of date: {found.tcb.status or 'its TCB'}",
            hint="update firmware and microcode of the host, and what the cloud does for it",
        )
    return 0


def _lines(attester: Attester, found: PlatformAppraisal) -> Iterator[str]:
    yield f"LAS at {attester.address}: platform {_platform(found)}"
    yield f"machine: {found.machine_id or 'not told'}"
    state = found.tcb.status or "the vendor tells no state"
    as_of = "" if found.tcb.as_of is None else f", as of {found.tcb.as_of:%Y-%m-%d}"
    yield f"TCB: {state}{f' ({found.tcb.level})' if found.tcb.level else ''}{as_of}"
    yield f"weaknesses: {', '.join(sorted(found.weaknesses)) or 'none that are known'}"
    yield f"advisories: {', '.join(sorted(found.advisories)) or 'none that are known'}"
    if found.debug:
        yield "debug: a debugger may look in"
    yield from (f"warning: {warning}" for warning in found.warnings)
    if found.bounds:
        first = min(found.bounds)
        yield f"holds until: {first.until:%Y-%m-%d %H:%M} UTC, {first.what}"


def _summary(attester: Attester, found: PlatformAppraisal) -> dict[str, object]:
    first = min(found.bounds, default=None)
    return {
        "las": attester.address,
        "platform": _platform(found),
        "machine": found.machine_id,
        "tcb_status": found.tcb.status,
        "tcb_level": found.tcb.level,
        "tcb_as_of": None if found.tcb.as_of is None else found.tcb.as_of.isoformat(),
        "upgradable": _OUTDATED in found.weaknesses,
        "weaknesses": sorted(found.weaknesses),
        "advisories": sorted(found.advisories),
        "debug": found.debug,
        "warnings": list(found.warnings),
        "holds_until": None if first is None else first.until.isoformat(),
        "ended_by": None if first is None else first.what,
    }


def _platform(found: PlatformAppraisal) -> str:
    """Name what was verified, and not what the LAS says."""
    return found.platform if found.genuine else platform_name(SIMULATED, found.platform)
