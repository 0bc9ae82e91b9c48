"""What the commands for hosts share: where hosts are kept, and how what was found on one is told."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Final, TextIO

from bannock.cli.style import Style, styled
from bannock.errors import InputError
from bannock.execution.hosts.check import Finding, State

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

__all__ = ["add_alias", "add_conf", "chosen_alias", "findings_json", "findings_text", "is_ready", "what_is_missing"]

_WORDS: Final = {State.OK: "ok", State.WARNING: "warning", State.MISSING: "MISSING"}
_STYLES: Final = {State.OK: Style.GOOD, State.WARNING: Style.DOUBTFUL, State.MISSING: Style.BAD}


def add_conf(parser: argparse.ArgumentParser) -> None:
    """Add ``--conf``."""
    parser.add_argument("--conf", type=Path, metavar="DIR", help="keys and state ($BANNOCK_HOME or ~/.config/bannock)")


def add_alias(parser: argparse.ArgumentParser) -> None:
    """Add the alias of a host, which may also come by the name that it has in ``add-host``."""
    parser.add_argument("alias", metavar="NAME", nargs="?", help="the host's alias")
    parser.add_argument("--alias", dest="named", metavar="NAME", help="the same")


def chosen_alias(parsed: argparse.Namespace) -> str:
    """Return the alias that a command line names.

    Raises:
        InputError: it names none, or two.
    """
    match parsed.alias, parsed.named:
        case (None, None):
            raise InputError("which host?", hint="bannock list-hosts lists their aliases")
        case (str(alias), None) | (None, str(alias)):
            return str(alias)
        case _:
            raise InputError(f"two hosts are named, {parsed.alias} and {parsed.named}; expected is one")


def is_ready(findings: Sequence[Finding]) -> bool:
    """Whether runs find what they need."""
    return not what_is_missing(findings)


def what_is_missing(findings: Sequence[Finding]) -> list[str]:
    """Return the names of what runs need and do not find."""
    return [finding.what for finding in findings if finding.state is State.MISSING]


def findings_text(findings: Sequence[Finding], stream: TextIO) -> list[str]:
    """Tell findings to people: a line each, and one more with what to do."""
    lines = []
    for finding in findings:
        word = styled(f"{_WORDS[finding.state]:8}", _STYLES[finding.state], stream, os.environ)
        lines.append(f"  {word} {finding.what:13} {finding.found}")
        if finding.hint:
            lines.append(f"{'':11}{'':13} → {finding.hint}")
    return lines


def findings_json(alias: str, findings: Sequence[Finding]) -> str:
    """Tell findings to programs."""
    document = {
        "host": alias,
        "ready": is_ready(findings),
        "findings": [
            {"what": item.what, "state": item.state.value, "found": item.found, "hint": item.hint} for item in findings
        ],
    }
    return f"{json.dumps(document, indent=2, ensure_ascii=False)}\n"
