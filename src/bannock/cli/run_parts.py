"""What commands that carry runs on have in common: the parts, put together, and how a result is told."""

from __future__ import annotations

import json
import os
import secrets
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from bannock.cli.progress import amount, show_errors, show_progress
from bannock.execution.hosts.book import HostBook
from bannock.execution.hosts.here import LOCAL
from bannock.execution.runs.book import RunBook
from bannock.execution.runs.conductor import Conductor
from bannock.execution.runs.parties import RunClient
from bannock.execution.services import client_identity, open_cas
from bannock.files import private_directory

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from bannock.evidence.modes import Mode
    from bannock.execution.runs.parties import RunResult
    from bannock.execution.services import ExternalCas

__all__ = ["open_conductor", "result_document", "result_json", "result_text"]


@contextmanager
def open_conductor(
    conf: Path,
    mode: Mode,
    external: ExternalCas | None,
    *,
    ahead: str = LOCAL,
    enclave_port: int = 0,
    pull: bool = False,
    quiet: bool = False,
) -> Iterator[Conductor]:
    """Put together who carries runs on, with progress on standard error and a CAS until the context ends.

    Meanwhile, a connection is made to the host that is needed first (``ahead``).
    """
    hosts = HostBook(private_directory(conf))
    with (
        show_progress(sys.stderr, quiet=quiet) as progress,
        show_errors(progress),
        hosts.ahead(ahead),
        open_cas(conf, external, enclave_port=enclave_port) as cas,
    ):
        client = RunClient(
            identity=client_identity(conf),
            cas=cas,
            progress=progress,
            random=secrets.token_bytes,
            environment=dict(os.environ),
            pull=pull,
        )
        yield Conductor(conf=conf, runs=RunBook(conf), hosts=hosts, client=client, mode=mode)


def result_text(result: RunResult, output: str) -> str:
    """Tell a result to a person."""
    extracted = result.extracted
    lines = [
        f"{extracted.files} entries, {amount(extracted.bytes)}, decrypted into {output}",
        f"session    {result.session}",
        f"attested   MRENCLAVE {result.expected or 'that the session names'}, platform {result.platform}",
        f"inputs     state {result.input_tag}",
        f"outputs    state {result.output_before} before, {result.output_after} after",
    ]
    if result.output_after == result.output_before:
        lines.append("           the CAS knows of no change to the outputs: nothing was written")
    if result.timed_out:
        lines.append("           the time was over before the program ended, and it was stopped")
    return "".join(f"{line}\n" for line in lines)


def result_json(result: RunResult) -> str:
    """Tell a result to a program."""
    return f"{json.dumps(result_document(result), indent=2)}\n"


def result_document(result: RunResult) -> dict[str, object]:
    """Return a result as a document."""
    return {
        "run": result.run,
        "session": result.session,
        "host": result.host,
        "exit_code": result.exit_code,
        "timed_out": result.timed_out,
        "mrenclave": result.expected,
        "platform": result.platform,
        "mount": result.mount,
        "input_tag": str(result.input_tag),
        "output_tag_before": str(result.output_before),
        "output_tag_after": str(result.output_after),
        "files": result.extracted.files,
        "bytes": result.extracted.bytes,
    }
