"""``bannock demo``: show the main job on this machine, attack it, and report."""

from __future__ import annotations

import secrets
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bannock.cli.options import Parser, add_mount, add_quiet
from bannock.cli.progress import show_errors, show_progress
from bannock.errors import IntegrityError
from bannock.execution.application import load_application
from bannock.execution.demonstration import demonstrate
from bannock.execution.execute import Client
from bannock.execution.services import Wanted, client_identity, open_services
from bannock.files import private_directory

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bannock.execution.demonstration import Attempt, Demonstration
    from bannock.runtime.settings import Mount

__all__ = ["main"]

_DESCRIPTION: Final = """\
Run copy_demo encrypted on this machine, with an embedded CAS, LAS and transfer service that are gone afterwards. Then
play a host that cheats: flip a byte of an input, change a byte of the application, roll the outputs back. Ends with a
report, and with an error if anything did not hold."""
_EXAMPLES: Final = """\
  bannock demo
  bannock demo --output /tmp/outputs --mount memory"""
_MOUNTS: Final = {"fuse": "mounted by FUSE", "memory": "opened in memory"}
_COLUMNS: Final = 16
_PRINTABLE: Final = range(0x20, 0x7F)


def main(arguments: Sequence[str]) -> int:
    """Parse, show, and report on standard output."""
    parser = Parser("demo", _DESCRIPTION, _EXAMPLES)
    parser.add_argument(
        "--output", type=Path, default=Path("demo-output"), metavar="DIR", help="decrypted outputs (demo-output)"
    )
    add_mount(parser)
    add_quiet(parser)
    parsed = parser.parse_args(arguments)
    demonstration = _demonstrate(parsed.output, parsed.mount, quiet=parsed.quiet)
    sys.stdout.write("".join(f"{line}\n" for line in _report(demonstration)))
    if not demonstration.holds:
        raise IntegrityError("the demonstration does not hold: see the report above", hint="please report it")
    return 0


def _demonstrate(output: Path, mount: Mount, *, quiet: bool) -> Demonstration:
    with (
        tempfile.TemporaryDirectory(prefix="bannock-demo-") as directory,
        show_progress(sys.stderr, quiet=quiet) as progress,
        show_errors(progress),
    ):
        scratch = Path(directory)
        conf = private_directory(scratch / "conf")
        with open_services(conf, Wanted()) as services:
            client = Client(
                identity=client_identity(conf), services=services, progress=progress, random=secrets.token_bytes
            )
            return demonstrate(client, load_application("copy_demo"), scratch=scratch, output=output, mount=mount)


def _report(shown: Demonstration) -> Iterator[str]:
    result, record, seen = shown.result, shown.result.outcome.record, shown.seen
    yield ""
    yield "THE MAIN JOB"
    yield f"  {shown.plan.input.name}/f1.txt went in, {shown.plan.output}/f1.txt came out: {shown.decrypted!r}"
    yield "  equal to what went in" if shown.decrypted == shown.plaintext else "  NOT EQUAL to what went in"
    yield ""
    yield "WHAT THE HOST AND THE TRANSFER SERVICE SAW"
    yield "  plaintext, which only the client and the attested application had:"
    yield from _dump(shown.plaintext)
    yield f"  ciphertext, {seen.name}, {len(seen.beginning)} of {seen.size} bytes:"
    yield from _dump(seen.beginning)
    yield f"  the plaintext in their files: {'FOUND' if seen.contains_plaintext else 'not found'}"
    yield ""
    yield "WHAT WAS ATTESTED"
    yield f"  session    {shown.plan.session}"
    yield f"  MRENCLAVE  {result.expected}"
    yield f"  platform   {record.platform} (protects nothing against whoever rules the host's memory)"
    yield f"  volumes    {_MOUNTS.get(record.mount, 'unknown')}"
    yield ""
    yield "STATES THAT THE CAS VOUCHES FOR (FSPF tags)"
    yield f"  inputs     {result.input_tag}"
    yield f"  outputs    {result.output_before} before the run"
    yield f"             {result.output_after} after it"
    for number, attempt in enumerate(shown.attempts, 1):
        yield ""
        yield from _attack(number, attempt)
    yield ""
    refused = sum(attempt.refused for attempt in shown.attempts)
    yield f"{refused} of {len(shown.attempts)} attacks were refused; the outputs are in {shown.plan.output}"


def _attack(number: int, attempt: Attempt) -> Iterator[str]:
    yield f"ATTACK {number}: {attempt.title}: {'refused' if attempt.refused else 'NOT REFUSED'}"
    for line in attempt.told:
        yield f"  | {line}"


def _dump(data: bytes) -> Iterator[str]:
    for offset in range(0, len(data), _COLUMNS):
        row = data[offset : offset + _COLUMNS]
        text = "".join(chr(byte) if byte in _PRINTABLE else "." for byte in row)
        yield f"    {offset:04x}  {row.hex(' '):{3 * _COLUMNS}} {text}"
