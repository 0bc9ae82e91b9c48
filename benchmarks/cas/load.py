"""Load: many clients, a process each, that do one thing again and again for some seconds."""

from __future__ import annotations

import multiprocessing
import statistics
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.queues import Queue
    from multiprocessing.synchronize import Barrier

__all__ = ["Load", "drive"]

#: What a client does before its first turn is not measured; it has to be done by then.
_PREPARE_SECONDS: Final = 120.0
_SPAWN: Final = multiprocessing.get_context("fork")


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What a load came to.

    Attributes:
        rate: operations a second, of all clients together.
        p50, p99: milliseconds that half, and 99 of 100, of the turns took at most.
        failures: turns that did not succeed, with one of their reasons.
    """

    rate: float
    p50: float
    p99: float
    failures: tuple[str, ...]


def drive(clients: int, seconds: float, prepare: Callable[[int], Callable[[], int]]) -> Load:
    """Let clients work at the same time, and measure.

    Args:
        clients: how many.
        seconds: how long.
        prepare: makes the turn of the n-th client, in its process; a turn gives how many operations it was.

    Raises:
        RuntimeError: no turn succeeded.
    """
    barrier = _SPAWN.Barrier(clients + 1)
    results: Queue[tuple[int, list[float], list[str], float]] = _SPAWN.Queue()
    processes = [
        _SPAWN.Process(target=_client, args=(number, seconds, prepare, barrier, results), daemon=True)
        for number in range(clients)
    ]
    for process in processes:
        process.start()
    barrier.wait(_PREPARE_SECONDS)
    found = [results.get(timeout=seconds + _PREPARE_SECONDS) for _ in processes]
    for process in processes:
        process.join()
    milliseconds = sorted(1000 * turn for _, turns, _, _ in found for turn in turns)
    failures = tuple(failure for _, _, failed, _ in found for failure in failed)
    if not milliseconds:
        raise RuntimeError(f"no turn succeeded: {', '.join(sorted(set(failures))[:3]) or 'for no reason'}")
    return Load(
        rate=sum(done / lasted for done, _, _, lasted in found),
        p50=statistics.median(milliseconds),
        p99=milliseconds[min(len(milliseconds) - 1, int(0.99 * len(milliseconds)))],
        failures=failures,
    )


def _client(
    number: int,
    seconds: float,
    prepare: Callable[[int], Callable[[], int]],
    barrier: Barrier,
    results: Queue[tuple[int, list[float], list[str], float]],
) -> None:
    turns: list[float] = []
    failures: list[str] = []
    done = 0
    try:
        turn = prepare(number)
    except Exception as error:  # noqa: BLE001 - told to who measures
        failures.append(f"{type(error).__name__}: {error}")
        barrier.wait(_PREPARE_SECONDS)
        results.put((0, turns, failures, 1.0))
        return
    barrier.wait(_PREPARE_SECONDS)
    started = before = time.perf_counter()
    while before - started < seconds:
        try:
            done += turn()
        except Exception as error:  # noqa: BLE001 - told to who measures
            failures.append(f"{type(error).__name__}: {error}")
            before = time.perf_counter()
        else:
            now = time.perf_counter()
            turns.append(now - before)
            before = now
    results.put((done, turns, failures, before - started))
