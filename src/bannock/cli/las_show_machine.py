"""``scone las show-machine``: what a session has to say to trust the machine of a LAS."""

from __future__ import annotations

import datetime as dt
import ssl
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bannock.cli.cas_options import SconeParser
from bannock.cli.las_options import add_collateral, add_las, add_timeout, asked, endorsed, require_hardware
from bannock.cli.options import add_json, as_json
from bannock.evidence.quotes import SgxQuote, SnpQuote, TdxQuote, TpmQuote
from bannock.evidence.recorded import appraise_quote, platform_record
from bannock.files import write_atomically
from bannock.policy.machines import rule_for

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bannock.evidence.appraisal import PlatformAppraisal
    from bannock.policy.claims import Claims

__all__ = ["main"]

_DESCRIPTION: Final = """\
Verify what attests the machine of a LAS, and show what a session has to say to trust it: the rule for `machines`, the
identity for `platforms`, and what is known to be wrong. Which machine answers is the LAS's own word: ask one whose
image you had built or measured yourself, or compare the values. What vendors vouch for comes from a directory, or
along with the quote."""
_ROOTS_SUFFIX: Final = ".roots.pem"
_EXAMPLES: Final = """\
  scone las show-machine > machines.yml
  scone las show-machine --las 10.0.0.7 --collateral /var/lib/collateral --output recorded/march.json
      what is recorded can be asked again later, of another policy: scone session test"""


def main(arguments: Sequence[str]) -> int:
    """Parse, ask, verify, print."""
    parser = SconeParser("las show-machine", _DESCRIPTION, _EXAMPLES)
    add_las(parser)
    add_timeout(parser)
    add_collateral(parser)
    parser.add_argument(
        "--output",
        type=Path,
        metavar="FILE",
        help=f"record the evidence, for scone session test; of a TPM also who was trusted for it, FILE{_ROOTS_SUFFIX}",
    )
    add_json(parser, "it")
    parsed = parser.parse(arguments)
    attester = asked(parsed)
    require_hardware(attester, "machine to be trusted", SgxQuote, TdxQuote, SnpQuote, TpmQuote)
    now = dt.datetime.now(dt.UTC)
    attester, known = endorsed(parsed, attester, now)
    quote, along = attester.platform.quote, attester.platform.endorsements
    if parsed.output is not None:
        write_atomically(parsed.output, platform_record(quote, along) + b"\n", mode=0o644)
        if isinstance(quote, TpmQuote) and known.roots:
            # No record brings whom to trust along.
            pem = b"".join(ssl.DER_cert_to_PEM_cert(each).encode("ascii") for each in known.roots)
            write_atomically(parsed.output.with_suffix(_ROOTS_SUFFIX), pem, mode=0o644)
    platform, claims = appraise_quote(quote, at=now, endorsements=known)
    if parsed.as_json:
        sys.stdout.write(as_json(_document(platform, claims)))
        return 0
    for line in _told(platform, claims):
        sys.stdout.write(f"{line}\n")
    return 0


def _told(platform: PlatformAppraisal, claims: Claims) -> Iterator[str]:
    """Give lines that are YAML: comments, and the rules of a session."""
    facts = {
        "platform": claims.platform_name,
        "machine": claims.machine_id,
        "attester": claims.attester,
        "debug": "true" if claims.debug else None,
        "tcb": " ".join(filter(None, [platform.tcb.status, platform.tcb.level])),
        "weaknesses": ", ".join(sorted(claims.weaknesses)),
        "advisories": ", ".join(sorted(claims.advisories)),
    }
    yield from (f"# {name}: {value}" for name, value in facts.items() if value)
    yield from (f"# warning: {warning}" for warning in platform.warnings)
    rule = rule_for(claims)
    if rule is not None:
        yield "machines:"
        yield f"  - {rule}"


def _document(platform: PlatformAppraisal, claims: Claims) -> dict[str, object]:
    rule = rule_for(claims)
    return {
        "platform": claims.platform_name,
        "machine": claims.machine_id,
        "attester": claims.attester,
        "debug": claims.debug,
        "tcb": {"status": platform.tcb.status, "level": platform.tcb.level},
        "weaknesses": sorted(claims.weaknesses),
        "advisories": sorted(claims.advisories),
        "warnings": list(platform.warnings),
        "rule": None if rule is None else str(rule),
    }
