"""Who carries runs on: new ones and those that were left, and takes away what is not wanted any more.

What an error or an interruption leaves: before the program runs, nothing, unless the host or the CAS is away; then,
and as soon as there may be outputs, the run stays as it is, to be resumed or cancelled.
"""

from __future__ import annotations

import threading
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bannock.errors import BannockError, EnvironmentFault
from bannock.execution.runs.container import RunContainer
from bannock.execution.runs.course import Course
from bannock.execution.runs.record import State
from bannock.execution.runs.removal import remove_run
from bannock.execution.services import ExternalCas, open_las
from bannock.net.address import Address
from bannock.values import KeyHash

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from bannock.evidence.modes import Mode
    from bannock.execution.hosts.book import HostBook
    from bannock.execution.hosts.machine import Machine
    from bannock.execution.runs.book import OpenRun, RunBook
    from bannock.execution.runs.parties import RunClient, RunResult
    from bannock.execution.runs.planning import ImageRunPlan
    from bannock.execution.runs.record import RunRecord
    from bannock.images.model import Image

__all__ = ["Conductor", "cancel_run", "external_cas", "own_enclave_port"]


def external_cas(record: RunRecord) -> ExternalCas | None:
    """Return the CAS of a run; None for the embedded one."""
    if not record.cas:
        return None
    client, enclave, key = record.cas
    return ExternalCas(
        client=Address.parse(client, default_port=0),
        enclave=Address.parse(enclave, default_port=0),
        key=KeyHash.from_base58(key),
    )


def own_enclave_port(record: RunRecord, local: str) -> int:
    """Return where an embedded CAS has to listen for a container of this machine that knows it; 0 for anywhere."""
    known = record.host == local and not record.cas and record.cas_there and record.state is not State.PLANNED
    return Address.parse(record.cas_there, default_port=0).port if known else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Conductor:
    """Carries runs on.

    Attributes:
        conf: the directory of the configuration.
        runs: what is written down of runs.
        hosts: the hosts.
        client: who runs.
        mode: what an embedded LAS takes to vouch for this machine.
        sending: held while an image is sent: images are not for several threads.
    """

    conf: Path
    runs: RunBook
    hosts: HostBook
    client: RunClient
    mode: Mode
    sending: threading.Lock = field(default_factory=threading.Lock)

    def execute(self, plan: ImageRunPlan, image: Callable[[], Image]) -> RunResult:
        """Carry out a new run.

        Raises:
            BannockError: it failed; what is left of it was told.
        """
        with self.runs.begin(plan.record, plan.secrets) as run, self._reached(run) as (machine, container):
            tree = plan.application.tree if plan.application.insists else None
            return self._carry_on(
                run,
                container,
                Course(run, self.client, machine, container, image=image, tree=tree, sending=self.sending),
            )

    def resume(self, name: str, image: Callable[[], Image] | None = None) -> RunResult:
        """Carry a run on that was left.

        Raises:
            NotFoundError: there is none of that name.
            ConflictError: somebody else carries it on.
            BannockError: it failed; what is left of it was told.
        """
        with self.runs.open(name) as run, self._reached(run) as (machine, container):
            return self._carry_on(run, container, Course(run, self.client, machine, container, image=image))

    @contextmanager
    def _reached(self, run: OpenRun) -> Iterator[tuple[Machine, RunContainer]]:
        record = run.record
        with ExitStack() as stack:
            try:
                if record.las_here:
                    stack.enter_context(open_las(self.conf, self.mode, run.directory / "las"))
                machine = stack.enter_context(self.hosts.open(record.host, self.client.environment))
            except BaseException:
                if record.state is State.PLANNED:
                    # There is nothing of it anywhere, and what comes of a second try is another run.
                    run.forget()
                raise
            client = self.client
            yield machine, RunContainer(machine, record.name, record.container, client.progress.note, client.check)

    def _carry_on(self, run: OpenRun, container: RunContainer, course: Course) -> RunResult:
        try:
            return course.finish()
        except KeyboardInterrupt:
            if run.record.keep or run.record.state.rank >= State.ENDED.rank:
                self._tell_kept(run)
            else:
                self._take_away(run, container)
            raise
        except BannockError as error:
            if not run.directory.exists():
                # It has come to its end, which was an error.
                raise
            rank = run.record.state.rank
            is_away = isinstance(error, EnvironmentFault) and rank >= State.UPLOADED.rank
            if is_away or rank >= State.ENDED.rank:
                self._tell_kept(run)
            else:
                self._take_away(run, container)
            raise

    def _tell_kept(self, run: OpenRun) -> None:
        name = run.record.name
        self.client.progress.note(f"run {name} is kept: `bannock runs resume {name}` goes on with it,")
        self.client.progress.note(f"`bannock runs cancel {name}` removes it")

    def _take_away(self, run: OpenRun, container: RunContainer) -> None:
        name = run.record.name
        try:
            remove_run(run, self.client.environment, container)
        except BannockError as error:
            self.client.progress.note(
                f"not all of run {name} could be removed ({error}); `bannock runs cancel {name}` tries again"
            )


def cancel_run(
    runs: RunBook,
    hosts: HostBook,
    name: str,
    *,
    environment: Mapping[str, str],
    note: Callable[[str], None],
    forget: bool = False,
) -> None:
    """Take a run away: its container is stopped and removed, its outputs are given up.

    Args:
        runs: what is written down of runs.
        hosts: the hosts.
        name: of the run.
        environment: with credentials for transfer services.
        note: tells a person something.
        forget: whether to forget it, too, if its host is not to be reached any more.

    Raises:
        NotFoundError: there is none of that name.
        ConflictError: somebody carries it on.
        BannockError: not all of it could be removed; the run stays.
    """
    with runs.open(name) as run:
        record = run.record
        try:
            with hosts.open(record.host, environment) as machine:
                remove_run(run, environment, RunContainer(machine, name, record.container, note))
        except BannockError as error:
            if not forget:
                raise type(error)(
                    f"run {name} cannot be removed from host {record.host}: {error}",
                    hint="--forget forgets it all the same, and leaves on the host what is there",
                ) from error
            note(f"{record.container} may still be on host {record.host}: {error}")
            run.forget()
