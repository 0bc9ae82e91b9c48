"""Waiting for a run's container, starting it again where it was ended from outside, and what its end means."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from bannock.errors import (
    EnvironmentFault,
    NotFoundError,
    PeerError,
    family_of,
)
from bannock.execution.job import Record, harmless
from bannock.identity.difference import difference

if TYPE_CHECKING:
    from bannock.execution.container_job import ContainerOutcome
    from bannock.execution.runs.book import OpenRun
    from bannock.execution.runs.container import RunContainer
    from bannock.execution.runs.parties import RunClient
    from bannock.identity.tree import MeasurementTree
    from bannock.images.containers import ContainerState

__all__ = ["End", "Watch"]

#: A container that is ended from outside, when its engine or its host starts anew, is started so often in all.
_STARTS_MAX: Final = 3
_SIGNAL_BASE: Final = 128
#: The host stops a program whose time is over; after this time more, we do.
_LATE_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """How the program of a run ended, by its host's word.

    Attributes:
        outcome: what the container says.
        record: what the runtime says.
        failure: why it was broken off; empty if it came to its end.
    """

    outcome: ContainerOutcome
    record: Record
    failure: tuple[str, ...]


class Watch:
    """Watches over a run's container.

    Args:
        run: what is known of the run.
        client: who runs it.
        container: of the run.
        host: its name.
        places: whether the output is taken from its place, and not brought by the container.
    """

    def __init__(self, run: OpenRun, client: RunClient, container: RunContainer, *, host: str, places: bool) -> None:
        self._run = run
        self._client = client
        self._container = container
        self._host = host
        self._places = places

    def until_end(self, tree: MeasurementTree | None) -> End:
        """Wait until the program has ended; start it where that has to be done (once more).

        Args:
            tree: what has to be measured, to say what differs; None where that is not known any more.

        Raises:
            NotFoundError: the container is gone.
            EnvironmentFault: the host is away, ends the container again and again, or cannot do its part.
            PeerError: what it says is malformed.
        """
        record, container, patience = self._run.record, self._container, self._client.patience
        state = container.patiently(container.state, patience)
        if state is None:
            raise NotFoundError(
                f"the container of run {record.name} is not on host {self._host} any more",
                hint=f"bannock runs cancel {record.name} removes what else there is of the run",
            )
        ended = state.was_started and not state.is_running
        if not state.was_started or (ended and not self._is_complete(self._look())):
            self._begin()
        while True:
            late = None if record.seconds is None else record.seconds + _LATE_SECONDS
            state = container.wait(patience, late)
            timed_out = state is None
            if state is None:
                container.patiently(container.stop, patience)
                state = container.wait(patience)
            outcome = self._look()
            if timed_out and outcome is not None:
                outcome = replace(outcome, timed_out=True, stopped=False)
            if state is None or not self._was_ended_from_outside(outcome, state):
                break
            self._begin()
        if outcome is None:
            raise PeerError(f"host {self._host} does not say how the run ended")
        return self._end(outcome, tree)

    def _look(self) -> ContainerOutcome | None:
        return self._container.patiently(self._container.outcome, self._client.patience)

    def _begin(self) -> None:
        self._run.change(starts=self._run.record.starts + 1)
        self._container.patiently(self._container.start, self._client.patience)

    def _is_complete(self, outcome: ContainerOutcome | None) -> bool:
        brought = self._places or (outcome is not None and outcome.pushed is not None)
        return outcome is not None and outcome.ran and not outcome.stopped and brought

    def _was_ended_from_outside(self, outcome: ContainerOutcome | None, state: ContainerState) -> bool:
        """Whether to start it again; a host that ends it again and again is not let go on for ever."""
        if outcome is not None and not outcome.stopped:
            return False
        if outcome is None and state.exit_code < _SIGNAL_BASE:
            raise EnvironmentFault(
                f"the container on host {self._host} ended with {state.exit_code} and says nothing",
                reasons=[harmless(state.error)] if state.error else [],
                hint="see whether its disk is full",
            )
        why = "for want of memory" if state.out_of_memory else f"from outside, with exit code {state.exit_code}"
        told = f"the container on host {self._host} was ended {why}"
        if self._run.record.starts >= _STARTS_MAX or state.out_of_memory:
            raise EnvironmentFault(told)
        self._client.progress.note(f"{told}; it is started again")
        return True

    def _end(self, outcome: ContainerOutcome, tree: MeasurementTree | None) -> End:
        """Decide what an end means."""
        if not outcome.ran:
            raise family_of(outcome.exit_code)(
                f"host {self._host} could not do its part", reasons=map(harmless, outcome.error)
            )
        if not self._is_complete(outcome):
            raise EnvironmentFault(
                f"host {self._host} could not bring the output", reasons=map(harmless, outcome.error)
            )
        said = Record.from_bytes(self._container.patiently(self._container.record, self._client.patience), outcome.log)
        failure: tuple[str, ...] = ()
        if said.error:
            differs = difference(tree, said.tree) if tree is not None and said.tree is not None else ()
            failure = (*said.error, *map(harmless, differs))
        return End(outcome=outcome, record=said, failure=failure)
