"""What is kept of a host. Pure."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Final, Self

from bannock.errors import InputError
from bannock.execution.hosts.target import SSH_PORT, SshTarget, checked_alias, checked_hostname, checked_user

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["DEFAULT_LAS", "KEY_FILE", "KNOWN_HOSTS_FILE", "HostRecord"]

_FORMAT: Final = 1
_PORT_MAX: Final = 65535
#: Where a LAS is for containers that share the host's network.
DEFAULT_LAS: Final = "127.0.0.1:18766"
#: Beside the record.
KEY_FILE: Final = "id_ed25519"
KNOWN_HOSTS_FILE: Final = "known_hosts"


@dataclass(frozen=True, slots=True, kw_only=True)
class HostRecord:
    """A host.

    Attributes:
        alias: what users call it.
        hostname: its name or IP address.
        user: whom one is there.
        port: of its sshd.
        engine: path of its engine's socket there; empty for the first one that is found.
        las: where containers with its network find its LAS.
        added: when, in ISO 8601.
    """

    alias: str
    hostname: str
    user: str
    port: int = SSH_PORT
    engine: str = ""
    las: str = DEFAULT_LAS
    added: str = ""

    def __post_init__(self) -> None:
        checked_alias(self.alias)
        checked_user(self.user)
        if checked_hostname(self.hostname) != self.hostname:
            raise InputError(f"the host name {self.hostname!r} is not written in its plain form")
        if not 0 < self.port <= _PORT_MAX:
            raise InputError(f"the port of a host is between 1 and {_PORT_MAX}, found {self.port}")
        if self.engine and not self.engine.startswith("/"):
            raise InputError(f"the socket of an engine is an absolute path, found {self.engine!r}")

    def target(self, directory: Path, *, known_hosts: Path | None = None) -> SshTarget:
        """Return how ssh reaches the host whose key and whose pinned keys are in a directory.

        Args:
            directory: of the host.
            known_hosts: another file for the pinned keys.
        """
        return SshTarget(
            alias=self.alias,
            hostname=self.hostname,
            port=self.port,
            user=self.user,
            key=directory / KEY_FILE,
            known_hosts=known_hosts or directory / KNOWN_HOSTS_FILE,
        )

    def to_json(self) -> bytes:
        """Return the record as it is kept."""
        return json.dumps({"format": _FORMAT, **asdict(self)}, indent=2).encode() + b"\n"

    @classmethod
    def from_json(cls, data: bytes, what: str) -> Self:
        """Read a record.

        Raises:
            InputError: it is none of this format.
        """
        try:
            fields = json.loads(data)
            if not isinstance(fields, dict) or fields.pop("format", None) != _FORMAT:
                raise InputError(f"{what} is not a host of format {_FORMAT}")
            texts = {name: value for name, value in fields.items() if name != "port"}
            if not all(isinstance(value, str) for value in texts.values()) or type(fields.get("port")) is not int:
                raise InputError(f"{what}: a field has the wrong type")
            return cls(**fields)
        except (ValueError, TypeError, RecursionError) as error:
            raise InputError(f"{what} is damaged: {error}", hint="add the host again") from error
