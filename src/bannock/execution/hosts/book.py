"""The hosts that a user has added: a directory each in that of the configuration, with its record and its keys."""

from __future__ import annotations

import shutil
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from bannock.errors import EnvironmentFault, InputError, NotFoundError
from bannock.execution.hosts.connection import SshConnection
from bannock.execution.hosts.here import LOCAL, LocalMachine
from bannock.execution.hosts.key import client_key, pinned_fingerprints
from bannock.execution.hosts.record import DEFAULT_LAS, KEY_FILE, KNOWN_HOSTS_FILE, HostRecord
from bannock.execution.hosts.remote import RemoteMachine
from bannock.execution.hosts.target import checked_alias
from bannock.files import private_directory, read_bounded, read_private, write_atomically

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from bannock.execution.hosts.machine import Machine
    from bannock.execution.hosts.target import SshTarget

__all__ = ["HostBook"]

_HOSTS: Final = "hosts"
_RECORD: Final = "host.json"
_KNOWN_HOSTS_BYTES_MAX: Final = 1 << 20


class HostBook:
    """The hosts of one configuration.

    Args:
        conf: its directory, which has to be the user's alone.
    """

    def __init__(self, conf: Path) -> None:
        self._conf = conf
        #: Connections that were begun, and that nobody uses so far.
        self._begun: dict[str, Future[SshConnection]] = {}

    def all(self) -> list[HostRecord]:
        """Return the hosts that were added, by their aliases."""
        directory = self._hosts()
        return [self.get(path.name) for path in sorted(directory.iterdir()) if (path / _RECORD).exists()]

    def get(self, alias: str) -> HostRecord:
        """Return a host.

        Raises:
            NotFoundError: none of that alias was added.
            InputError: its record is not usable, or open to others.
        """
        path = self.directory(alias) / _RECORD
        if not path.exists():
            known = ", ".join([LOCAL, *(found.alias for found in self.all())])
            raise NotFoundError(
                f"there is no host {alias!r}; there are {known}",
                hint=f"bannock add-host --alias {alias} --hostname HOSTNAME",
            )
        return HostRecord.from_json(read_private(path), f"the record of host {alias}, {path},")

    def put(self, record: HostRecord) -> str:
        """Keep a host, new or changed, and return the public key that it is to let in; its key pair is made only once.

        Raises:
            InputError: the alias is this machine's, or a file is open to others.
            EnvironmentFault: a file cannot be written.
        """
        directory = private_directory(self.directory(record.alias))
        public = client_key(directory / KEY_FILE)
        write_atomically(directory / f"{KEY_FILE}.pub", f"{public}\n".encode())
        write_atomically(directory / _RECORD, record.to_json())
        return public

    def remove(self, alias: str) -> tuple[HostRecord, str]:
        """Forget a host with its keys, and return what it was, and the public key that it may still let in.

        Raises:
            NotFoundError: none of that alias was added.
        """
        record = self.get(alias)
        directory = self.directory(alias)
        public = client_key(directory / KEY_FILE)
        try:
            # First what makes it a host: one that is left in between can be added anew.
            (directory / _RECORD).unlink()
            shutil.rmtree(directory)
        except OSError as error:
            raise EnvironmentFault(f"cannot remove {directory}: {error.strerror}") from error
        return record, public

    def target(self, alias: str) -> SshTarget:
        """Return how ssh reaches a host."""
        return self.get(alias).target(self.directory(alias))

    def pinned(self, alias: str) -> tuple[str, ...]:
        """Return the fingerprints of a host's pinned keys; none if it has not been met so far."""
        path = self.directory(alias) / KNOWN_HOSTS_FILE
        return pinned_fingerprints(read_bounded(path, _KNOWN_HOSTS_BYTES_MAX)) if path.exists() else ()

    @contextmanager
    def open(self, alias: str, environment: Mapping[str, str], las: str = DEFAULT_LAS) -> Iterator[Machine]:
        """Connect to a host; ``local`` is this machine.

        Args:
            alias: of the host.
            environment: where ``DOCKER_HOST`` may name this machine's engine.
            las: where containers of this machine find its LAS.

        Raises:
            NotFoundError: there is no such host.
            EnvironmentFault: it cannot be reached.
            DeniedError, PeerError: it does not let us in, or is not the one it was.
        """
        if alias == LOCAL:
            yield LocalMachine(environment, las)
            return
        record = self.get(alias)
        begun = self._begun.pop(alias, None)
        with self._connection(record) if begun is None else begun.result() as connection:
            yield RemoteMachine(record, connection)

    @contextmanager
    def ahead(self, alias: str) -> Iterator[None]:
        """Connect to a host that will be opened within the context, while other things are done.

        What goes wrong shows when it is opened.
        """
        if alias == LOCAL or alias in self._begun:
            yield
            return
        with ThreadPoolExecutor(1, "ssh ahead") as executor:
            self._begun[alias] = executor.submit(lambda: _entered(self._connection(self.get(alias))))
            try:
                yield
            finally:
                # Nobody has opened it.
                unused = self._begun.pop(alias, None)
                if unused is not None and unused.exception() is None:
                    unused.result().close()

    def _connection(self, record: HostRecord) -> SshConnection:
        directory = self.directory(record.alias)
        read_private(directory / KEY_FILE)
        return SshConnection(record.target(directory), pin=not self.pinned(record.alias))

    def directory(self, alias: str) -> Path:
        """Return where all that belongs to a host is, or would be.

        Raises:
            InputError: it can be no alias of a host, or is this machine's.
        """
        if checked_alias(alias) == LOCAL:
            raise InputError(f"{LOCAL} is this machine, which is always there", hint="choose another alias")
        return self._hosts() / alias

    def _hosts(self) -> Path:
        return private_directory(private_directory(self._conf) / _HOSTS)


def _entered(connection: SshConnection) -> SshConnection:
    return connection.__enter__()
