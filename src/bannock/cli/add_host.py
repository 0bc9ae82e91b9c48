"""``bannock add-host``: make a key pair for a host, and print the line that lets it in."""

from __future__ import annotations

import json
import os
import platform
import sys
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from bannock.cli.host_options import add_conf, findings_json, findings_text
from bannock.cli.options import Parser, conf_directory
from bannock.errors import InputError, NotFoundError, render
from bannock.execution.hosts.adding import Added, add_host
from bannock.execution.hosts.book import HostBook
from bannock.execution.hosts.check import Finding, check_host
from bannock.execution.hosts.record import DEFAULT_LAS, HostRecord
from bannock.execution.hosts.target import SSH_PORT, checked_hostname

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Sequence

__all__ = ["main"]

#: As on the images of most clouds.
_USER: Final = "ubuntu"

_DESCRIPTION: Final = """\
Add a host on which applications can be run. A key pair is made for it and kept in the directory of the configuration,
and one line is printed, for `eval` or to be run by somebody who has access: it lets the key in. The host's own key is
pinned when it is met first; another one is refused from then on. All else goes to standard error: once the key is let
in, what the host has and what is missing. To add a host again changes nothing."""
_EXAMPLES: Final = """\
  eval "$(bannock add-host --alias caroline --hostname 1.2.3.4)"
  bannock add-host --alias bob --hostname bob.example --user root --port 2222 --host-key SHA256:…"""


def main(arguments: Sequence[str]) -> int:
    """Parse, add, print the line, and tell what was found."""
    parsed = _parser().parse_args(arguments)
    book = HostBook(conf_directory(parsed.conf, os.environ))
    record = _record(book, parsed)
    added = add_host(book, record, host_key=parsed.host_key)
    findings = _findings(book, record.alias) if added.let_in else []
    if parsed.as_json:
        host = json.loads(findings_json(record.alias, findings))
        document = {**host, "line": added.line, "let_in": added.let_in, "ready": added.let_in and host["ready"]}
        sys.stdout.write(f"{json.dumps(document, indent=2, ensure_ascii=False)}\n")
        return 0
    # `docker run -t` gives its container one terminal for everything: what is not the line becomes its comment there.
    terminal = sys.stdout.isatty()
    sys.stdout.write(f"{added.line}{' #' if terminal else ''}\n")
    sys.stdout.flush()
    for line in _told(book, record, added, findings):
        sys.stderr.write(f"{'# ' if terminal else ''}{line}\n")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = Parser("add-host", _DESCRIPTION, _EXAMPLES)
    parser.add_argument("--alias", required=True, metavar="NAME", help="what to call it: --host NAME of `execute`")
    parser.add_argument("--hostname", required=True, metavar="HOST", help="its name or IP address")
    parser.add_argument("--user", metavar="NAME", help=f"who to be there (default: {_USER})")
    parser.add_argument("--port", type=int, metavar="PORT", help=f"where its sshd listens (default: {SSH_PORT})")
    parser.add_argument("--host-key", metavar="SHA256:…", help="fingerprint of the key that it has to show")
    parser.add_argument("--engine", metavar="PATH", help="socket of its container engine (default: what is found)")
    parser.add_argument("--las", metavar="ADDRESS", help=f"its LAS, as it sees it (default: {DEFAULT_LAS})")
    add_conf(parser)
    parser.add_argument("--json", action="store_true", dest="as_json", help="print line and findings as JSON")
    return parser


def _record(book: HostBook, parsed: argparse.Namespace) -> HostRecord:
    """Make the record; what is not given stays as it is."""
    try:
        known = book.get(parsed.alias)
    except (NotFoundError, InputError):  # what is damaged is made anew
        known = None
    added = datetime.fromtimestamp(time.time(), UTC).isoformat(timespec="seconds")
    return HostRecord(
        alias=parsed.alias,
        hostname=checked_hostname(parsed.hostname),
        user=parsed.user or (known.user if known else _USER),
        port=parsed.port if parsed.port is not None else (known.port if known else SSH_PORT),
        engine=parsed.engine if parsed.engine is not None else (known.engine if known else ""),
        las=parsed.las or (known.las if known else DEFAULT_LAS),
        added=known.added if known else added,
    )


def _findings(book: HostBook, alias: str) -> list[Finding]:
    return check_host(book, alias, os.environ, clock=time.time, machine=platform.machine())


def _told(book: HostBook, record: HostRecord, added: Added, findings: Sequence[Finding]) -> Iterator[str]:
    keys = ", ".join(book.pinned(record.alias))
    if added.refused is not None:
        yield f"host {record.alias} was added, but not met: its key will be pinned at the first contact"
        yield from render(added.refused)
    elif added.let_in:
        yield f"host {record.alias}: {record.user}@{record.hostname}, host key {keys}"
        yield from findings_text(findings, sys.stderr)
    else:
        yield f"host {record.alias} was added; its key is pinned: {keys}"
        yield f"grant access by running the line above, then: bannock check-host {record.alias}"
