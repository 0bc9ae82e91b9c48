"""``bannock execute --split``: one application, work in pieces, several hosts."""

from __future__ import annotations

import datetime as dt
import json
import secrets
import shutil
import sys
import threading
from dataclasses import replace
from typing import TYPE_CHECKING

from bannock.cli.run_parts import open_conductor, result_document
from bannock.errors import EnvironmentFault
from bannock.execution.runs.batch import Batch, Prefixed, merge
from bannock.execution.runs.planning import plan_image_run
from bannock.execution.runs.split import pieces_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from bannock.cli.execute_options import ExecuteOptions
    from bannock.execution.image_application import ImageApplication
    from bannock.execution.runs.batch import PieceEnd
    from bannock.execution.runs.conductor import Conductor
    from bannock.execution.runs.parties import RunResult
    from bannock.execution.runs.planning import ImageRunPlan, ImageRunWishes
    from bannock.execution.runs.split import Piece
    from bannock.images.model import Image

__all__ = ["execute_batch"]


def execute_batch(
    options: ExecuteOptions,
    application: ImageApplication,
    image: Callable[[], Image],
    wishes: Callable[[str], ImageRunWishes],
) -> int:
    """Run all pieces, tell the results on standard output.

    Args:
        options: what the user wants.
        application: what runs.
        image: opens it.
        wishes: those of a run on a host.

    Raises:
        EnvironmentFault: some pieces failed; the outputs of the others are there.
    """
    pieces = pieces_of(options.split)
    plan = _plan(application, wishes(options.hosts[0]), pieces[0])
    if options.dry_run:
        sys.stdout.write("".join(f"{line}\n" for line in plan.lines()))
        sys.stdout.write(f"and so on, for {len(pieces)} pieces, {options.per_host} at once on each of the hosts\n")
        sys.stdout.write("".join(f"  {host}\n" for host in options.hosts))
        return 0
    with open_conductor(options.conf, options.mode, options.cas, pull=options.pull, quiet=options.quiet) as conductor:
        ends = _Pieces(options, application, image, wishes, conductor).run(pieces)
    return _tell(options, ends)


class _Pieces:
    def __init__(
        self,
        options: ExecuteOptions,
        application: ImageApplication,
        image: Callable[[], Image],
        wishes: Callable[[str], ImageRunWishes],
        conductor: Conductor,
    ) -> None:
        self._options = options
        self._application = application
        self._image = image
        self._wishes = wishes
        self._conductor = conductor
        # Layers are unpacked when they are first read, which is not for several threads.
        self._sending = threading.Lock()
        self._merging = threading.Lock()
        self._owners: dict[str, str] = {}
        self._batch: Batch | None = None

    def run(self, pieces: list[Piece]) -> list[PieceEnd]:
        progress = self._conductor.client.progress
        self._batch = Batch(pieces, self._options.hosts, self._options.per_host, self._run_one, progress)
        return self._batch.run()

    def _run_one(self, piece: Piece, host: str) -> RunResult:
        assert self._batch is not None  # noqa: S101 # who calls this
        client = self._conductor.client
        progress = Prefixed(client.progress, f"{host} {piece.title}", self._batch.check)
        conductor = replace(
            self._conductor, client=replace(client, progress=progress, check=self._batch.check), sending=self._sending
        )
        wishes = self._wishes(host)
        output = wishes.output / f".{piece.title}"
        plan = _plan(self._application, replace(wishes, output=output), piece)
        try:
            result = conductor.execute(plan, self._image)
        except BaseException:
            # What a run that is kept has brought so far is its own (`.bannock-incoming…`); an empty one is nobody's.
            if output.exists() and not any(output.iterdir()):
                shutil.rmtree(output, ignore_errors=True)
            raise
        with self._merging:
            merge(output, wishes.output, self._owners, piece.title)
        return result


def _plan(application: ImageApplication, wishes: ImageRunWishes, piece: Piece) -> ImageRunPlan:
    wishes = replace(wishes, variables={**wishes.variables, **piece.variables}, environment=piece.variables)
    return plan_image_run(application, wishes, now=dt.datetime.now(dt.UTC), random=secrets.token_bytes)


def _tell(options: ExecuteOptions, ends: list[PieceEnd]) -> int:
    failed = [end for end in ends if end.result is None or end.result.exit_code]
    if options.as_json:
        sys.stdout.write(f"{json.dumps([_document(end) for end in ends], indent=2)}\n")
    else:
        for end in ends:
            what = f"exit code {end.result.exit_code}" if end.result is not None else "failed"
            again = f", failed before on {', '.join(sorted(end.tried))}" if end.tried and end not in failed else ""
            sys.stdout.write(f"{end.piece.title}: {what} on {end.host or ', '.join(sorted(end.tried))}{again}\n")
    if failed:
        raise EnvironmentFault(
            f"{len(failed)} of {len(ends)} pieces failed",
            reasons=[f"{end.piece.title} on {host}: {error}" for end in failed for host, error in end.failures],
            hint=f"the outputs of the others are in {options.output}",
        )
    return 0


def _document(end: PieceEnd) -> dict[str, object]:
    return {
        "piece": end.piece.title,
        "variables": dict(end.piece.variables),
        "failed_on": [host for host, _ in end.failures],
        "result": None if end.result is None else result_document(end.result),
    }
