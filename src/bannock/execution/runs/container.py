"""The container of a run, at the engine of a host: made, told what to do, started, watched, and taken away.

Whatever the engine says is the host's word. A connection that is lost is made again as long as there is patience.
"""

from __future__ import annotations

import io
import tarfile
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, TypeVar

from bannock.errors import EnvironmentFault, NotFoundError, PeerError
from bannock.execution.container_job import (
    JOB,
    OUTCOME,
    OUTCOME_BYTES_MAX,
    PLACE,
    RECORD,
    ContainerOutcome,
)
from bannock.execution.job import RECORD_BYTES_MAX
from bannock.identity.layout import LAYER_ROOT
from bannock.images.containers import Containers, ContainerState, Volumes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from contextlib import AbstractContextManager

    from bannock.execution.container_job import ContainerJob
    from bannock.execution.hosts.machine import Machine
    from bannock.execution.transfer.interface import Readable

__all__ = ["LABEL", "RunContainer"]

#: What containers and volumes of runs are found by; its value is the name of the run.
LABEL: Final = "dev.bannock.run"
_CARRIER: Final = f"{LAYER_ROOT}/bin/carry"
_STOP_SECONDS: Final = 30
_FIRST_LOOK_SECONDS: Final = 0.05
_LOOK_SECONDS_MAX: Final = 1.0
#: A wait grows by this part of what was waited so far.
_GROWTH: Final = 0.05
_REPAIR_SECONDS: Final = 20.0
_FUSE: Final = {"PathOnHost": "/dev/fuse", "PathInContainer": "/dev/fuse", "CgroupPermissions": "rwm"}

_Answer = TypeVar("_Answer")


class RunContainer:
    """A run's container.

    Args:
        machine: the host, connected.
        run: the name of the run.
        name: of the container, and of its volume.
        note: tells a person something.
        check: is called now and then while there is nothing to do; raises what is to end the wait.
    """

    def __init__(
        self,
        machine: Machine,
        run: str,
        name: str,
        note: Callable[[str], None],
        check: Callable[[], None] = lambda: None,
    ) -> None:
        self._machine = machine
        self._run = run
        self._name = name
        self._note = note
        self._check = check

    @property
    def _containers(self) -> Containers:
        return Containers(self._machine.engine)

    def create(
        self, image: str, environment: Mapping[str, str], binds: Iterable[str] = (), *, fuse: bool = True
    ) -> None:
        """Make the container and its volume anew; what an earlier attempt left is removed.

        Args:
            image: what the engine has.
            environment: of the container; no secrets.
            binds: directories of the host that it sees, ``HOST:CONTAINER``.
            fuse: whether volumes may be mounted by FUSE there.

        Raises:
            NotFoundError: the engine has no such image.
            EnvironmentFault, PeerError: it cannot be made.
        """
        self.remove()
        Volumes(self._machine.engine).create(self._name, {LABEL: self._run})
        settings = {
            "Image": image,
            "Entrypoint": [_CARRIER],
            "Cmd": [],
            "User": "0:0",
            "Env": [f"{name}={value}" for name, value in environment.items()],
            "Labels": {LABEL: self._run},
            "HostConfig": {
                "NetworkMode": "host",
                "Mounts": [{"Type": "volume", "Source": self._name, "Target": str(PLACE)}],
                "Binds": list(binds),
                "Devices": [_FUSE] if fuse else [],
                # For a mount namespace of the runtime's own, and nothing that root in the container could use.
                "SecurityOpt": ["seccomp=unconfined", *(["apparmor=unconfined"] if self._has_apparmor() else [])],
                # What a program prints is not for the host's disk; its end is brought by the carrier.
                "LogConfig": {"Type": "none"},
            },
        }
        self._containers.create(settings, self._name)

    def put_job(self, job: ContainerJob) -> None:
        """Tell the container what to do."""
        self._containers.put(self._name, _tar(JOB, job.to_json()), str(PLACE))

    def start(self) -> None:
        """Start it.

        Raises:
            EnvironmentFault, PeerError: the engine cannot.
        """
        self._containers.start(self._name)

    def wait(self, patience: float, seconds: float | None = None) -> ContainerState | None:
        """Wait until it has ended, and return how; None if it has not in the given time.

        Args:
            patience: for so many seconds the host may be away.
            seconds: how long to wait; None: without end.

        Raises:
            EnvironmentFault: the host is away for longer.
            NotFoundError: the container is not there any more.
        """
        began = time.monotonic()
        while True:
            self._check()
            state = self.patiently(lambda: self._containers.state(self._name), patience)
            if not state.is_running:
                return state
            waited = time.monotonic() - began
            if seconds is not None and waited > seconds:
                return None
            time.sleep(min(_LOOK_SECONDS_MAX, _FIRST_LOOK_SECONDS + waited * _GROWTH))

    def state(self) -> ContainerState | None:
        """Return how it is; None if there is none."""
        with suppress(NotFoundError):
            return self._containers.state(self._name)
        return None

    def outcome(self) -> ContainerOutcome | None:
        """Return what it says has happened; None if it says nothing.

        Raises:
            PeerError: what it says is malformed.
        """
        data = self._file(OUTCOME, OUTCOME_BYTES_MAX)
        return None if data is None else ContainerOutcome.from_json(data)

    def record(self) -> bytes:
        """Return what the runtime in it says of the run; empty if it says nothing."""
        return self._file(RECORD, RECORD_BYTES_MAX) or b""

    def stop(self) -> None:
        """End it, if it runs: it is asked, and has some time."""
        with suppress(NotFoundError):
            self._containers.stop(self._name, _STOP_SECONDS)

    def remove(self) -> None:
        """Remove it and its volume, if they are there."""
        with suppress(NotFoundError):
            self._containers.remove(self._name)
        Volumes(self._machine.engine).remove(self._name)

    def put(self, path: str, tar: Iterable[bytes]) -> None:
        """Unpack a tar in a directory (:class:`bannock.execution.transfer.interface.Place`)."""
        self._containers.put(self._name, tar, path)

    def get(self, path: str) -> AbstractContextManager[Readable]:
        """Read a file or directory as a tar (:class:`bannock.execution.transfer.interface.Place`)."""
        return self._containers.opened(self._name, path)

    def patiently(self, call: Callable[[], _Answer], patience: float) -> _Answer:
        """Ask the host for something that may be asked twice, and connect again where the connection is lost.

        Raises:
            EnvironmentFault: the host is away for longer than there is patience.
            BannockError: what the host answers.
        """
        end, told = time.monotonic() + patience, False
        while True:
            try:
                return call()
            except EnvironmentFault as error:
                if time.monotonic() > end:
                    raise
                if not told:
                    self._note(f"host {self._machine.name} is away: {error}; trying again")
                    told = True
                self._check()
                left = end - time.monotonic()
                with suppress(EnvironmentFault):
                    self._machine.repair(max(1.0, min(_REPAIR_SECONDS, left)))
                time.sleep(min(_LOOK_SECONDS_MAX, max(0.0, left)))

    def _file(self, name: str, limit: int) -> bytes | None:
        try:
            with self._containers.opened(self._name, str(PLACE / name)) as stream:
                return _only_file(stream, limit)
        except NotFoundError:
            return None

    def _has_apparmor(self) -> bool:
        with self._machine.engine.answer("GET", "/info", 60.0) as answer:
            return b"name=apparmor" in answer.read(4 << 20)


def _tar(name: str, content: bytes) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.GNU_FORMAT) as archive:
        info = tarfile.TarInfo(name)
        info.size, info.mode = len(content), 0o600
        archive.addfile(info, io.BytesIO(content))
    return stream.getvalue()


def _only_file(stream: Any, limit: int) -> bytes:
    """Return the one file of a tar that an engine gives."""
    try:
        with tarfile.open(fileobj=stream, mode="r|") as archive:
            for member in archive:
                content = archive.extractfile(member) if member.isreg() and member.size <= limit else None
                if content is None:
                    break
                return content.read(limit)
    except (tarfile.TarError, EOFError, ValueError) as error:
        raise PeerError("the host gives something else than a file of the run's container") from error
    raise PeerError("the host gives something else than a file of the run's container, or too long a one")
