"""What the host may say to the runtime: ``SCONE_*`` settings, and what to show the application of the host's files.

Read once, at start; nothing else of the host's environment reaches the application.
"""

from __future__ import annotations

import logging
import os
import re
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from bannock.errors import InputError
from bannock.evidence.modes import Mode, mode_of
from bannock.identity.settings import MEASURED
from bannock.net.address import Address
from bannock.policy.configuration import Configuration, MainFspf, UpdatePolicy
from bannock.values import FspfKey, FspfTag, KeyHash, Secret

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

__all__ = [
    "Attestation",
    "Bind",
    "Mount",
    "RunOptions",
    "attestation_of",
    "enclave_settings",
    "local_configuration",
    "log_level",
    "runs_locally",
    "wants_hash",
]

CAS_PORT: Final = 18765
#: How long a service waits for a CAS that is away: an upgrade, a failover or a restored backup take minutes.
_PATIENCE_SECONDS: Final = 600.0
_PATIENCE_SECONDS_MAX: Final = 7 * 24 * 3600.0
_ONE_TIME_PASSWORD: Final = re.compile("[0-9]{6}")
LAS_DEFAULT: Final = "127.0.0.1:18766"
_LEVELS: Final = {
    "TRACE": logging.DEBUG,
    "DEBUG": logging.DEBUG,
    "INFO": logging.INFO,
    "WARNING": logging.WARNING,
    "ERROR": logging.ERROR,
    "FATAL": logging.CRITICAL,
}
#: What the application has no use for, the key above all.
_CONSUMED: Final = ("SCONE_FSPF", "SCONE_FSPF_KEY", "SCONE_FSPF_TAG")


class Mount(StrEnum):
    """How volumes come under the application."""

    AUTO = "auto"
    FUSE = "fuse"
    MEMORY = "memory"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bind:
    """A directory of the host and where the enclave sees it."""

    host: Path
    enclave: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """What ``bannock run`` is told.

    Attributes:
        command: the program to measure and run, as it is named inside the enclave.
        arguments: of the program; they are used where there is no session that says what they are.
        binds: directories of the host to show.
        volumes: session volume → directory that holds its ciphertext.
        mount: how volumes come under the application.
        record: where to write what happened, without secrets; None: nowhere.
        installed: in an image that the runtime's layer is in: its programs are put back, and the ciphertext of a
            volume is where the volume is mounted, unless ``volumes`` says otherwise.
    """

    command: str
    arguments: tuple[str, ...] = ()
    binds: tuple[Bind, ...] = ()
    volumes: Mapping[str, Path]
    mount: Mount = Mount.AUTO
    record: Path | None = None
    installed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Attestation:
    """Whom to attest to, and as what.

    Attributes:
        cas: the enclave interface of the CAS.
        cas_key: the key that the CAS must have; None: any (a CAS without the right secrets is of no use to anybody).
        las: address of the LAS.
        mode: whether hardware has to protect this process.
        session, service: what to ask the configuration of.
        one_time_password: of this start (RFC 6238), if the session asks for one.
        access_token: what CAS and service have to prove to each other to know, if the session has one.
        connect_seconds: how long the CAS may take to answer at all; then another connection is tried.
        answer_seconds: how long it may take for what it is asked, which it may have to fetch from elsewhere.
        patience_seconds: how long the CAS may be away while the service runs.
    """

    cas: Address
    cas_key: KeyHash | None
    las: str
    session: str
    service: str
    one_time_password: str | None = field(default=None, repr=False)
    access_token: Secret | None = None
    mode: Mode = Mode.AUTO
    connect_seconds: float = 10.0
    answer_seconds: float = 40.0
    patience_seconds: float = _PATIENCE_SECONDS

    @property
    def service_id(self) -> str:
        """The service as the CAS knows it, for messages."""
        return f"{self.session}/{self.service}"


def attestation_of(environment: Mapping[str, str]) -> Attestation:
    """Read whom to attest to.

    Raises:
        InputError: something that is needed is missing or malformed.
    """
    cas, config = environment.get("SCONE_CAS_ADDR"), environment.get("SCONE_CONFIG_ID")
    if not cas or not config:
        missing = "SCONE_CAS_ADDR" if not cas else "SCONE_CONFIG_ID"
        raise InputError(
            f"{missing} is not set, so there is no configuration to run with",
            hint="set SCONE_CAS_ADDR=HOST[:PORT] and SCONE_CONFIG_ID=SESSION/SERVICE; "
            "SCONE_HASH=1 prints MRENCLAVE without either",
        )
    session, service, password = _config_id(config)
    key, token = environment.get("BANNOCK_CAS_KEY"), environment.get("SCONE_SERVICE_ACCESS_TOKEN")
    return Attestation(
        cas=Address.parse(cas, default_port=CAS_PORT),
        cas_key=KeyHash.from_base58(key) if key else None,
        las=environment.get("SCONE_LAS_ADDR") or LAS_DEFAULT,
        mode=mode_of(environment),
        session=session,
        service=service,
        one_time_password=password,
        access_token=Secret(os.fsencode(token)) if token else None,
        patience_seconds=_patience(environment.get("BANNOCK_CAS_PATIENCE")),
    )


def _config_id(text: str) -> tuple[str, str, str | None]:
    """Take ``SESSION/SERVICE`` or ``SESSION/SERVICE@123456`` apart; a session's name has its namespaces in it."""
    session, slash, service = text.rpartition("/")
    service, at, password = service.partition("@")
    if not slash or not session or not service:
        raise InputError(
            f"SCONE_CONFIG_ID is SESSION/SERVICE or SESSION/SERVICE@123456, found {text.partition('@')[0]!r}"
        )
    if at and not _ONE_TIME_PASSWORD.fullmatch(password):
        raise InputError(
            f"SCONE_CONFIG_ID has something else than a one-time password of 6 digits after {session}/{service}@",
            hint="SESSION/SERVICE@123456, with a password that was made less than a minute ago",
        )
    return session, service, password if at else None


def _patience(text: str | None) -> float:
    if not text:
        return _PATIENCE_SECONDS
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= _PATIENCE_SECONDS_MAX:
        raise InputError(
            f"BANNOCK_CAS_PATIENCE is a number of seconds from 0 to {_PATIENCE_SECONDS_MAX:.0f}, found {text[:80]!r}"
        )
    return seconds


def runs_locally(environment: Mapping[str, str]) -> bool:
    """Whether to run with a protection file that the environment names, and without a CAS."""
    return bool(environment.get("SCONE_FSPF")) and not environment.get("SCONE_CONFIG_ID")


def local_configuration(command: Sequence[str], environment: Mapping[str, str], directory: str) -> Configuration:
    """Return what to run where no session says it: everything comes from the host, so nothing is proven to anybody.

    Raises:
        InputError: key or tag are malformed.
    """
    key, tag = environment.get("SCONE_FSPF_KEY"), environment.get("SCONE_FSPF_TAG")
    path = os.path.abspath(os.path.join(directory, environment["SCONE_FSPF"]))  # noqa: PTH100, PTH118 # links stay
    return Configuration(
        argv=tuple(command),
        environment={name: value for name, value in environment.items() if name not in _CONSUMED},
        working_directory=directory,
        fspf=MainFspf(
            path=path,
            key=None if not key else FspfKey.from_hex(key),
            tags=() if not tag else (FspfTag.from_hex(tag),),
            update_policy=UpdatePolicy.NO_ROLLBACK_PROTECTION,
        ),
    )


def enclave_settings(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the settings that are measured, as the host gave them."""
    return {name: environment[name] for name in MEASURED if environment.get(name)}


def log_level(environment: Mapping[str, str]) -> int:
    """Return the level of ``SCONE_LOG`` (FATAL, ERROR, WARNING, INFO, DEBUG, TRACE).

    Raises:
        InputError: there is no such level.
    """
    text = environment.get("SCONE_LOG", "WARNING").upper()
    if text not in _LEVELS:
        raise InputError(f"SCONE_LOG is one of {', '.join(name for name in _LEVELS)}, found {text!r}")
    return _LEVELS[text]


def wants_hash(environment: Mapping[str, str]) -> bool:
    """Whether to print MRENCLAVE and do nothing else."""
    return environment.get("SCONE_HASH", "0") not in ("", "0")
