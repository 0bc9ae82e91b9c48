"""The main job shown and attacked: one honest run, seen by its host, and three runs on hosts that cheat.

The attacks are made with what a host has: its own files, between its own steps. Nothing in the product helps them.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from bannock.errors import BannockError, DeniedError, IntegrityError, RollbackError, render
from bannock.execution.bundle_host import run_directory
from bannock.execution.execute import plan_run
from bannock.execution.host_job import APPLICATION, INPUT, OUTPUT, conclude, prepare, run
from bannock.execution.progress import Silent

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from bannock.execution.application import Application
    from bannock.execution.execute import Client, Result
    from bannock.execution.job import Job, Outcome
    from bannock.execution.plan import Plan
    from bannock.execution.progress import Progress
    from bannock.runtime.settings import Mount

__all__ = ["Attempt", "Demonstration", "Seen", "demonstrate"]

_TEXT: Final = "Hello World\n"
_FILE: Final = "f1.txt"
_SHOWN_BYTES: Final = 64
_OLD: Final = "old-output"


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One file of ciphertext, as the host has it.

    Attributes:
        name: of the file.
        size: of it.
        beginning: its first bytes.
        contains_plaintext: whether the plaintext is anywhere in the files of the host.
    """

    name: str
    size: int
    beginning: bytes
    contains_plaintext: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One attack.

    Attributes:
        title: what the host did.
        refused: whether it came to nothing: the run failed, and no output was taken for good.
        told: the error that came.
    """

    title: str
    refused: bool
    told: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Demonstration:
    """What was shown.

    Attributes:
        plan, result: the honest run.
        plaintext: what was given in.
        decrypted: what came out.
        seen: what the host saw of it.
        attempts: the attacks.
    """

    plan: Plan
    result: Result
    plaintext: bytes
    decrypted: bytes
    seen: Seen
    attempts: tuple[Attempt, ...]

    @property
    def holds(self) -> bool:
        """Whether the output is right, the host saw nothing, and every attack was refused."""
        return (
            self.decrypted == self.plaintext
            and self.result.outcome.exit_code == 0
            and not self.seen.contains_plaintext
            and all(attempt.refused for attempt in self.attempts)
        )


def demonstrate(
    client: Client, application: Application, *, scratch: Path, output: Path, mount: Mount
) -> Demonstration:
    """Run the application honestly, then attack three further runs of it.

    Args:
        client: who runs.
        application: what runs; it copies its inputs.
        scratch: an empty private directory for inputs and for the host.
        output: where the honest run's outputs are decrypted into.
        mount: how volumes come under the application.

    Raises:
        BannockError: the honest run failed, or an attack ended for another reason than that it was refused.
    """
    source = scratch / "inputs"
    source.mkdir()
    (source / _FILE).write_text(_TEXT, encoding="utf-8")

    def plan(target: Path) -> Plan:
        return plan_run(
            application,
            host=_OpenHost.name,
            input_directory=source,
            output_directory=target,
            variables={},
            mount=mount,
            random=client.random,
        )

    seen: list[Seen] = []
    observer = _OpenHost(scratch / "host", prepared=lambda directory: seen.append(_look(directory)))
    honest = plan(output)
    result = client.execute(honest, observer)
    attempts, quiet = [], replace(client, progress=Silent(client.progress))
    for index, attack in enumerate(_attacks(scratch / "host", application)):
        with client.progress.stage(f"attack {index + 1}: {attack.title}"):
            attempts.append(_attempt(quiet, attack, plan(scratch / f"attacked-{index}")))
    return Demonstration(
        plan=honest,
        result=result,
        plaintext=_TEXT.encode(),
        decrypted=(output / _FILE).read_bytes(),
        seen=seen[0],
        attempts=tuple(attempts),
    )


class _OpenHost:
    """This machine as a host that lets its administrator at the files of a run, between its steps."""

    name: Final = "local"

    def __init__(
        self,
        state_directory: Path,
        *,
        prepared: Callable[[Path], None] = lambda _: None,
        ran: Callable[[Path], None] = lambda _: None,
    ) -> None:
        self._state_directory = state_directory
        self._prepared = prepared
        self._ran = ran

    def perform(self, job: Job, progress: Progress) -> Outcome:
        """As :meth:`bannock.execution.bundle_host.BundleHost.perform`."""
        with run_directory(self._state_directory, job.run) as directory:
            prepare(job, directory, progress)
            self._prepared(directory)
            exit_code, log = run(job, directory, progress)
            self._ran(directory)
            return conclude(job, directory, progress, exit_code, log)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Attack:
    """One attack: what is done, where, and the error that it has to end with."""

    title: str
    host: _OpenHost
    refusal: type[BannockError]


def _attacks(state: Path, application: Application) -> tuple[_Attack, ...]:
    return (
        _Attack(
            title="one byte of the encrypted input is flipped",
            host=_OpenHost(state, prepared=lambda directory: _flip(_content_file(directory / INPUT))),
            refusal=IntegrityError,
        ),
        _Attack(
            title="one byte of the application is changed",
            host=_OpenHost(state, prepared=lambda directory: _flip(directory / APPLICATION / application.program)),
            refusal=DeniedError,
        ),
        _Attack(
            title="the output volume is rolled back to its older state",
            host=_OpenHost(
                state,
                prepared=lambda directory: _keep_old(directory / OUTPUT, directory / _OLD),
                ran=lambda directory: _put_old_back(directory / OUTPUT, directory / _OLD),
            ),
            refusal=RollbackError,
        ),
    )


def _attempt(client: Client, attack: _Attack, plan: Plan) -> Attempt:
    """Make an attack. An error that is not its refusal is no refusal, and goes on to the caller."""
    try:
        result = client.execute(plan, attack.host)
    except attack.refusal as error:
        return Attempt(title=attack.title, refused=True, told=tuple(render(error)))
    # The application itself may have met the damage, as an I/O error. Then it says so by its exit code, and what it
    # could not read is not in the outputs.
    output = plan.output / _FILE
    came_through = output.exists() and output.read_bytes() != b""
    refused = attack.refusal is IntegrityError and result.outcome.exit_code != 0 and not came_through
    log = tuple(line for line in result.outcome.log.splitlines() if "WARNING" not in line)
    return Attempt(title=attack.title, refused=refused, told=log)


def _look(directory: Path) -> Seen:
    """Look at what a host has before the run: the file that holds the content, and all others for plaintext."""
    path = _content_file(directory / INPUT)
    plain = _TEXT.strip().encode()
    everything = (directory / INPUT, directory / OUTPUT)
    return Seen(
        name=str(path.relative_to(directory)),
        size=path.stat().st_size,
        beginning=path.read_bytes()[:_SHOWN_BYTES],
        contains_plaintext=any(plain in file.read_bytes() for place in everything for file in _files(place)),
    )


def _content_file(volume: Path) -> Path:
    """Return the ciphertext of the one input: what is in the volume beside its metadata."""
    return next(path for path in _files(volume) if path.name != "volume.fspf")


def _files(directory: Path) -> list[Path]:
    return sorted(path for path in directory.rglob("*") if path.is_file())


def _flip(path: Path) -> None:
    """Change one bit in the middle of a file."""
    with path.open("r+b") as file:
        middle = file.seek(0, os.SEEK_END) // 2
        file.seek(middle)
        byte = file.read(1)[0]
        file.seek(middle)
        file.write(bytes([byte ^ 1]))


def _keep_old(output: Path, old: Path) -> None:
    shutil.copytree(output, old)


def _put_old_back(output: Path, old: Path) -> None:
    shutil.rmtree(output)
    old.rename(output)
