"""The command: measure and print, or print what was measured before."""

from __future__ import annotations

import shutil
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bannock.net.tls import Identity
from benchmarks.cas import clients
from benchmarks.cas.load import drive
from benchmarks.cas.places import postgresql, serve, tls_limit
from benchmarks.cas.results import ATTESTATIONS, LIMIT, add, measurement
from benchmarks.cas.wire import Wire
from benchmarks.command import command, keep
from benchmarks.shield.machine import facts

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from benchmarks.cas.clients import Place
    from benchmarks.cas.load import Load
    from benchmarks.rows import Measurement

_FACTS: Final = frozenset({"date", "kernel", "processor", "memory", "storage", "load before", "Bannock"})
_CLIENTS: Final = 8
_SESSION: Final = "measured"
_STORES: Final = ("SQLite", "PostgreSQL")


def main(arguments: list[str]) -> int:
    """Run the command and return its exit code: 1 if a turn failed."""
    return command(arguments, "cas", _options, _run)


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--runs", type=int, default=3, help="how often everything is measured (%(default)s)")
    parser.add_argument("--seconds", type=float, default=5.0, help="of each row (%(default)s)")
    parser.add_argument("--workers", default="1,2", help="processes of the CAS (%(default)s)")
    parser.add_argument("--stores", default=",".join(_STORES), help="databases (%(default)s)")
    parser.add_argument("--rows", default="", help="parts of row names, for example attest,reads")
    parser.add_argument("--directory", type=Path, help="where the databases are (the system's for temporary files)")


def _run(options: argparse.Namespace) -> list[Measurement]:
    directory = Path(tempfile.mkdtemp(prefix="bannock-bench-cas-", dir=options.directory))
    results = measurement(_facts(directory))
    try:
        for run in range(options.runs):
            _measure_all(options, directory / str(run), results)
            keep(options.csv, [results])
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    return [results]


def _facts(directory: Path) -> dict[str, str]:
    """Say what machine this is, without the versions of what is measured elsewhere."""
    return {name: fact for name, fact in facts(directory).items() if name in _FACTS}


def _measure_all(options: argparse.Namespace, directory: Path, results: Measurement) -> None:
    """Measure every row once, the limit first."""
    wanted = [part for part in options.rows.split(",") if part]

    def measure(row: str, who: str, prepare: Callable[[int], Callable[[], int]], number: int = _CLIENTS) -> None:
        if wanted and who != LIMIT and not any(part in f"{row}, {who}" for part in wanted):
            return
        load = drive(number, options.seconds, prepare)
        add(results, row, who, load)
        _tell(f"{row}, {who}", load)

    with tls_limit(directory / "limit") as address:
        if address is not None:
            identity = Identity.generate("client", names=(), addresses=())
            measure(ATTESTATIONS, LIMIT, lambda _: clients.shaking_hands(address, identity))
    for store in options.stores.split(","):
        for workers in (int(text) for text in options.workers.split(",")):
            with ExitStack() as stack:
                here = directory / f"{store}-{workers}"
                here.mkdir(parents=True)
                # A cluster belongs to the user of the database, who has to reach it.
                for part in (directory.parent, directory, here):
                    part.chmod(0o711)
                url = stack.enter_context(postgresql(here / "postgresql")) if store == "PostgreSQL" else None
                if store == "PostgreSQL" and url is None:
                    results.remark("", store, "left out: not installed, or this is not root")
                    continue
                place = stack.enter_context(serve(here / "cas", url, workers))
                _measure(place, f"{store}, {workers} process{'es' * (workers > 1)}", measure)


def _measure(place: Place, where: str, measure: Callable[..., None]) -> None:
    with Wire.as_client(place.api, place.owner, place.key) as connection:
        clients.create(connection, _SESSION, volumes=1)
        for number in range(_CLIENTS):
            clients.create(connection, f"strict-{number}", volumes=1)
            clients.create(connection, f"grouped-{number}", volumes=clients.GROUP)
    measure(ATTESTATIONS, where, lambda _: clients.attesting(place, _SESSION))
    measure("session reads", where, lambda _: clients.reading(place, _SESSION))
    measure("session creations", where, lambda number: clients.creating(place, number))
    measure("tag updates, strict", where, lambda number: clients.committing(place, f"strict-{number}"))
    measure("tag updates, grouped", where, lambda number: clients.grouping(place, f"grouped-{number}"))


def _tell(row: str, load: Load) -> None:
    failures = f", {len(load.failures)} failed: {load.failures[0]}" if load.failures else ""
    sys.stderr.write(f"{row}: {load.rate:,.0f}/s, p50 {load.p50:.1f} ms, p99 {load.p99:.1f} ms{failures}\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
