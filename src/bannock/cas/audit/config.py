"""What the owner of a CAS wishes of its audit log: the section ``audit_log`` of the owner's configuration.

::

    [audit_log]
    mode = "signed"          # or "unsigned", "disabled"
    sink = "file"            # or "database", "network"
    on_full = "stop"         # or "drop-and-count": what becomes of an operation whose entry the sink does not take
    keep = "all"             # or "checkpoints": what the database has of the log

    url = "https://logs.example.com/append"      # for sink = "network"
    server_ca_certificate = "-----BEGIN CERTIFICATE-----…"
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self, TypeVar
from urllib.parse import urlsplit

from cryptography import x509

from bannock.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bannock.policy.canonical import JsonValue

__all__ = ["AUDIT_LOG_KEYS", "AuditLogConfig", "DatabaseOnly", "Keep", "Mode", "OnFull", "ToFile", "ToServer"]


class Mode(enum.StrEnum):
    """Whether there is a log, and whether it can be verified."""

    DISABLED = "disabled"
    UNSIGNED = "unsigned"
    SIGNED = "signed"


class OnFull(enum.StrEnum):
    """What becomes of an operation whose entry the sink does not take."""

    #: It fails, and nothing of it is done.
    STOP = "stop"
    #: It is done; the log says later how many entries the sink does not have.
    DROP_AND_COUNT = "drop-and-count"


class Keep(enum.StrEnum):
    """What the database has of the log."""

    ALL = "all"
    CHECKPOINTS = "checkpoints"


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseOnly:
    """The log is in the database, and nowhere else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToFile:
    """The log goes to a file too; where, is for the availability configuration to say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToServer:
    """The log goes to a server too, each entry as the body of a POST request.

    Attributes:
        url: of the server.
        server_ca_certificate: PEM, what its certificate has to be issued by; None for the public authorities.
    """

    url: str
    server_ca_certificate: str | None = None


_Choice = TypeVar("_Choice", bound=enum.StrEnum)

#: The keys of the section.
AUDIT_LOG_KEYS: Final = frozenset({"mode", "sink", "url", "server_ca_certificate", "on_full", "keep"})
_NETWORK_KEYS: Final = ("url", "server_ca_certificate")


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditLogConfig:
    """How the log is written. The default is a signed log in the database."""

    mode: Mode = Mode.SIGNED
    sink: DatabaseOnly | ToFile | ToServer = DatabaseOnly()
    on_full: OnFull = OnFull.STOP
    keep: Keep = Keep.ALL

    @classmethod
    def from_mapping(cls, document: Mapping[str, object]) -> Self:
        """Parse the section; without ``sink`` the log goes to a file.

        Raises:
            InputError: a key is not known, or a value cannot be.
        """
        for key in document:
            if key not in AUDIT_LOG_KEYS:
                raise InputError(f"audit_log.{key} is not known, allowed: {', '.join(sorted(AUDIT_LOG_KEYS))}")
        config = cls(
            mode=_choice(Mode, document, "mode", Mode.SIGNED),
            sink=_sink(document),
            on_full=_choice(OnFull, document, "on_full", OnFull.STOP),
            keep=_choice(Keep, document, "keep", Keep.ALL),
        )
        if config.keep is Keep.CHECKPOINTS and isinstance(config.sink, DatabaseOnly):
            raise InputError(
                'audit_log.keep = "checkpoints" needs a sink: with the sink "database", nobody would have the log'
            )
        return config

    def to_mapping(self) -> dict[str, JsonValue]:
        """Give the section that :meth:`from_mapping` reads."""
        section: dict[str, JsonValue] = {"mode": self.mode, "on_full": self.on_full, "keep": self.keep}
        match self.sink:
            case DatabaseOnly():
                return section | {"sink": "database"}
            case ToFile():
                return section | {"sink": "file"}
            case ToServer(url=url, server_ca_certificate=None):
                return section | {"sink": "network", "url": url}
            case ToServer(url=url, server_ca_certificate=authority):
                return section | {"sink": "network", "url": url, "server_ca_certificate": authority}


def _sink(document: Mapping[str, object]) -> DatabaseOnly | ToFile | ToServer:
    kind = document.get("sink", "file")
    if kind == "network":
        return _network(document)
    for key in _NETWORK_KEYS:
        if key in document:
            raise InputError(f'audit_log.{key} is for sink = "network"')
    match kind:
        case "file":
            return ToFile()
        case "database":
            return DatabaseOnly()
        case _:
            raise InputError(f"audit_log.sink is file, network or database, found {kind!r}")


def _network(document: Mapping[str, object]) -> ToServer:
    url, authority = (document.get(key) for key in _NETWORK_KEYS)
    if not isinstance(url, str) or urlsplit(url).scheme not in ("https", "http") or not urlsplit(url).hostname:
        raise InputError('audit_log.url is the URL of the log server, https://…; sink = "network" needs it')
    if authority is not None:
        if not isinstance(authority, str):
            raise InputError("audit_log.server_ca_certificate is a text in PEM")
        # Who indents the text in a configuration file does not mean the spaces.
        authority = "".join(f"{line.strip()}\n" for line in authority.strip().splitlines())
        try:
            x509.load_pem_x509_certificates(authority.encode("utf-8"))
        except ValueError:
            raise InputError("audit_log.server_ca_certificate is not a certificate in PEM") from None
    return ToServer(url=url, server_ca_certificate=authority)


def _choice(kind: type[_Choice], document: Mapping[str, object], key: str, default: _Choice) -> _Choice:
    value = document.get(key, default)
    try:
        return kind(str(value))
    except ValueError:
        raise InputError(f"audit_log.{key} is {' or '.join(kind)}, found {value!r}") from None
