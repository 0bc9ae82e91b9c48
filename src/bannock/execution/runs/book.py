"""The runs of a user: a directory each, until they are done. Whoever works on a run has its lock.

A step is written down before it is taken and after it; files are written whole. So what a run has left anywhere can be
found after any end of this program. Not for several threads on one run.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from bannock.errors import BannockError, ConflictError, EnvironmentFault, InputError, NotFoundError
from bannock.execution.runs.record import RunRecord, RunSecrets
from bannock.files import private_directory, read_private, write_atomically

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["OpenRun", "RunBook"]

_RUNS: Final = "runs"
_RECORD: Final = "run.json"
_SECRETS: Final = "keys.json"
_LOCK: Final = "lock"
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,100}")


class OpenRun:
    """A run that this process works on.

    Attributes:
        directory: of the run; anything may be put there that is to go with it.
        record: what is known of it.
        secrets: its keys.
    """

    def __init__(self, directory: Path, record: RunRecord, secrets: RunSecrets) -> None:
        self.directory: Final = directory
        self.record = record
        self.secrets = secrets

    def change(self, **changes: Any) -> None:
        """Change the record, and keep it.

        Raises:
            EnvironmentFault: it cannot be written.
        """
        self.record = replace(self.record, **changes)
        write_atomically(self.directory / _RECORD, self.record.to_json())

    def change_secrets(self, **changes: Any) -> None:
        """Change the keys, and keep them.

        Raises:
            EnvironmentFault: they cannot be written.
        """
        self.secrets = replace(self.secrets, **changes)
        write_atomically(self.directory / _SECRETS, self.secrets.to_json().reveal())

    def forget(self) -> None:
        """Forget the run: there is nothing of it any more.

        Raises:
            EnvironmentFault: its directory cannot be removed.
        """
        try:
            # The record last: as long as it is there, the run is found.
            (self.directory / _SECRETS).unlink(missing_ok=True)
            (self.directory / _RECORD).unlink(missing_ok=True)
            shutil.rmtree(self.directory)
        except OSError as error:
            raise EnvironmentFault(f"cannot remove {self.directory}: {error.strerror}") from error


class RunBook:
    """The runs of one configuration.

    Args:
        conf: its directory, which is the user's alone.
    """

    def __init__(self, conf: Path) -> None:
        self._conf = conf

    def all(self) -> list[RunRecord]:
        """Return the runs that are not done, the oldest first; what cannot be read is passed over."""
        directory = self._runs()
        found = []
        for path in directory.iterdir():
            with suppress(BannockError):
                found.append(self.read(path.name))
        return sorted(found, key=lambda record: (record.made, record.name))

    def read(self, name: str) -> RunRecord:
        """Return what is known of a run.

        Raises:
            NotFoundError: there is no such run.
            InputError: its record is not usable.
        """
        path = self._directory(name) / _RECORD
        if not path.exists():
            raise NotFoundError(f"there is no run {name}", hint="bannock runs list shows those that are not done")
        return RunRecord.from_json(read_private(path), f"the record of run {name}, {path},")

    def is_busy(self, name: str) -> bool:
        """Whether some process works on a run."""
        try:
            with self._locked(self._directory(name)):
                return False
        except ConflictError:
            return True

    @contextmanager
    def begin(self, record: RunRecord, secrets: RunSecrets) -> Iterator[OpenRun]:
        """Write a new run down, and work on it.

        Raises:
            EnvironmentFault: it cannot be written.
        """
        directory = private_directory(self._directory(record.name))
        with self._locked(directory):
            opened = OpenRun(directory, record, secrets)
            opened.change_secrets()
            opened.change()
            yield opened

    @contextmanager
    def open(self, name: str) -> Iterator[OpenRun]:
        """Work on a run that is there.

        Raises:
            NotFoundError, InputError: as :meth:`read`.
            ConflictError: somebody works on it already.
        """
        self.read(name)
        directory = self._directory(name)
        with self._locked(directory):
            # Now that nobody else changes it.
            record = self.read(name)
            path = directory / _SECRETS
            yield OpenRun(
                directory, record, RunSecrets.from_json(read_private(path), f"the keys of run {name}, {path},")
            )

    def _runs(self) -> Path:
        return private_directory(private_directory(self._conf) / _RUNS)

    def _directory(self, name: str) -> Path:
        if not _NAME.fullmatch(name):
            raise InputError(f"a run is named as `bannock runs list` shows it, found {name[:80]!r}")
        return self._runs() / name

    @contextmanager
    def _locked(self, directory: Path) -> Iterator[None]:
        try:
            descriptor = os.open(directory / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise EnvironmentFault(f"cannot write {directory / _LOCK}: {error.strerror}") from error
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise ConflictError(
                    f"another process works on run {directory.name}", hint="end it, or wait until it is done"
                ) from error
            yield
        finally:
            os.close(descriptor)
