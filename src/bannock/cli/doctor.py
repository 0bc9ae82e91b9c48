"""``bannock doctor``: what this machine and its services lack, and what to do about it."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bannock import __version__
from bannock.cli.commands import MODULES
from bannock.cli.options import Parser, conf_directory
from bannock.cli.state import state_file
from bannock.cli.style import Style, styled
from bannock.doctor.examination import AREAS, Circumstances, examine
from bannock.doctor.finding import Finding, State
from bannock.doctor.services import KnownService
from bannock.errors import BannockError, EnvironmentFault
from bannock.images.sconify.cache import cache_directory
from bannock.net.address import Address

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Sequence

__all__ = ["main"]

_DESCRIPTION: Final = f"""\
Look at all that Bannock needs: machine, kernel and clock, devices, the installation, room and rights of its
directories, container engine, LAS, and every CAS that was attested here. Each finding is ok, a warning (something is
weaker, slower, or missing for some commands alone) or a problem, and says what to do. Nothing is changed, and no
secret is read.

areas: {", ".join(AREAS)}"""
_EXAMPLES: Final = """\
  bannock doctor
  bannock doctor services --las las.example
  bannock doctor --json | jq -r '.findings[] | select(.state != "ok") | .hint'"""
_STYLES: Final = {State.OK: Style.GOOD, State.WARNING: Style.DOUBTFUL, State.PROBLEM: Style.BAD}
_INDENT: Final = 27
_ALL: Final = "all"


def main(arguments: Sequence[str]) -> int:
    """Parse, look, tell; an error if there is a problem."""
    parsed = _parse(arguments)
    known, unreadable = _circumstances(parsed)
    found: list[tuple[str, Finding]] = []
    for area, findings in examine(list(AREAS) if _ALL in parsed.areas else list(dict.fromkeys(parsed.areas)), known):
        here = [*unreadable, *findings] if area == "storage" else findings
        found += [(area, finding) for finding in here]
        if not parsed.as_json:
            _tell(area, here, quiet=parsed.quiet)
    if parsed.as_json:
        sys.stdout.write(_json(found, strict=parsed.strict))
    bad = [finding for _, finding in found if _is_bad(finding, strict=parsed.strict)]
    if bad:
        raise EnvironmentFault(
            f"{len(bad)} of {len(found)} findings {'is' if len(bad) == 1 else 'are'} a problem: "
            f"{', '.join(dict.fromkeys(finding.what for finding in bad))}",
            hint="" if parsed.as_json else "the lines above that begin with an arrow say what to do",
        )
    if not parsed.as_json and not parsed.quiet:
        count = sum(finding.state is State.WARNING for _, finding in found)
        warnings = f", {count} {'warning' if count == 1 else 'warnings'}" if count else ""
        sys.stdout.write(f"no problem{warnings}\n")
    return 0


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = Parser("doctor", _DESCRIPTION, _EXAMPLES)
    parser.add_argument(
        "areas", nargs="*", choices=[_ALL, *AREAS], default=_ALL, metavar="AREA", help="what to look at (all)"
    )
    parser.add_argument("--las", metavar="LAS", help="the LAS: HOST, HOST:PORT or unix:/PATH ($SCONE_LAS_ADDR)")
    parser.add_argument("--conf", type=Path, metavar="DIR", help="keys and state ($BANNOCK_HOME or ~/.config/bannock)")
    parser.add_argument("--strict", action="store_true", help="take warnings for problems")
    parser.add_argument("--json", action="store_true", dest="as_json", help="print findings as JSON")
    parser.add_argument("-q", "--quiet", action="store_true", help="tell nothing but warnings and problems")
    return parser.parse_args(arguments)


def _circumstances(parsed: argparse.Namespace) -> tuple[Circumstances, list[Finding]]:
    state = state_file(os.environ)
    services, unreadable = [], []
    try:
        kept = state.read()
        for name, cas in sorted(kept.cas.items()):
            services.append(
                KnownService(
                    name=name,
                    address=Address(cas.host, cas.port),
                    key=cas.key,
                    platform=cas.platform,
                    is_default=name == kept.default_cas,
                )
            )
    except BannockError as error:
        unreadable.append(
            Finding(what="state of scone", state=State.PROBLEM, found=error.message, hint=error.hint or "")
        )
    known = Circumstances(
        environment=os.environ,
        now=time.time(),
        commands=list(MODULES),
        cas=services,
        las=parsed.las or os.environ.get("SCONE_LAS_ADDR") or None,
        conf=conf_directory(parsed.conf, os.environ),
        state=state.path,
        cache=cache_directory(os.environ),
    )
    return known, unreadable


def _is_bad(finding: Finding, *, strict: bool) -> bool:
    return finding.state is State.PROBLEM or (strict and finding.state is State.WARNING)


def _tell(area: str, findings: Iterable[Finding], *, quiet: bool) -> None:
    shown = [finding for finding in findings if not (quiet and finding.state is State.OK)]
    if not shown:
        return
    lines = [area]
    for finding in shown:
        word = styled(f"{finding.state.value:8}", _STYLES[finding.state], sys.stdout, os.environ)
        lines.append(f"  {word} {_plain(finding.what):15} {_plain(finding.found)}")
        if finding.hint:
            lines.append(f"{'':{_INDENT}}→ {styled(_plain(finding.hint), Style.ADVICE, sys.stdout, os.environ)}")
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    sys.stdout.flush()


def _plain(text: str) -> str:
    """Give a text as it can be shown: others may have chosen parts of it."""
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)


def _json(found: Sequence[tuple[str, Finding]], *, strict: bool) -> str:
    document = {
        "version": __version__,
        "healthy": not any(_is_bad(finding, strict=strict) for _, finding in found),
        "findings": [
            {
                "area": area,
                "what": finding.what,
                "state": finding.state.value,
                "found": finding.found,
                "hint": finding.hint,
            }
            for area, finding in found
        ],
    }
    return f"{json.dumps(document, indent=2, ensure_ascii=False)}\n"
