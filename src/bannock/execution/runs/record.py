"""What is known of a run, as it is kept until the run is done: how far it is, where it is, and how it goes on.

Values, and their form as JSON. Keys are values of their own, in a file of their own.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, Self

from bannock.errors import InputError
from bannock.values import FspfKey, Secret

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["RunRecord", "RunSecrets", "State"]

_VERSION: Final = 1


class State(StrEnum):
    """How far a run is. What a state names is done; what comes next may have begun."""

    PLANNED = "planned"
    CREATED = "created"
    UPLOADED = "uploaded"
    SESSION = "session"
    STARTED = "started"
    ENDED = "ended"
    FETCHED = "fetched"

    @property
    def rank(self) -> int:
        """Its number in the order of a run."""
        return list(State).index(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """A run.

    Attributes:
        name: its name, and that of all that belongs to it.
        made: when, ISO 8601.
        state: how far it is.
        host: the alias of its host.
        application: how the user named the image.
        image: what the engine of the host is asked for.
        title: what the application calls itself.
        program: what is started, as a path in the image.
        service: of the session.
        input_volume, output_volume: names of the session's volumes.
        input, output: directories of this machine, absolute.
        settings: measured settings of the enclave.
        environment: what the container gets besides; no secrets.
        mount: how volumes come under the application.
        seconds: how long it may run.
        transfer: the way of the volumes; empty for the connection to the host.
        cas: client address, enclave address and key hash of the CAS; empty for the embedded one.
        cas_there: the enclave interface, as the host reaches it; empty before that is known.
        las: the LAS, as the container reaches it; empty for what the host says.
        las_here: whether an embedded LAS of this machine measures it.
        keep: whether an interruption leaves it alone.
        session: the name of the session.
        source, results, outcome: parcels: the inputs, the empty output volume, what came out.
        input_tag, output_tag: the states that the volumes were made in.
        expected: the MRENCLAVE that the session asks for; empty where it does not ask for this one.
        starts: how often the container was started.
        exit_code: of the program, once it has ended.
        timed_out: whether it was ended because its time was over.
        failure: why it was broken off although there are outputs; empty if it came to its end.
        log, platform, mounted: what the host says of the run.
        output_after: the state of the outputs that the CAS knows.
        decrypted_files, decrypted_bytes: what came out.
    """

    name: str
    made: str
    host: str
    application: str
    image: str
    title: str
    program: str
    service: str
    input_volume: str
    output_volume: str
    input: str
    output: str
    state: State = State.PLANNED
    settings: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    mount: str = "auto"
    seconds: float | None = None
    transfer: str = ""
    cas: tuple[str, ...] = ()
    cas_there: str = ""
    las: str = ""
    las_here: bool = False
    keep: bool = False
    session: str = ""
    source: Mapping[str, Any] | None = None
    results: Mapping[str, Any] | None = None
    outcome: Mapping[str, Any] | None = None
    input_tag: str = ""
    output_tag: str = ""
    expected: str = ""
    starts: int = 0
    exit_code: int | None = None
    timed_out: bool = False
    failure: tuple[str, ...] = ()
    log: str = ""
    platform: str = ""
    mounted: str = ""
    output_after: str = ""
    decrypted_files: int = 0
    decrypted_bytes: int = 0

    @property
    def container(self) -> str:
        """The name of its container, and of the volume of that."""
        return f"bannock-run-{self.name}"

    def to_json(self) -> bytes:
        """Write it."""
        return json.dumps({"version": _VERSION, **asdict(self)}, indent=2).encode()

    @classmethod
    def from_json(cls, data: bytes, what: str) -> Self:
        """Read it.

        Raises:
            InputError: it is of another version, or was changed by hand.
        """
        document = _document(data, what)
        known = {item.name for item in fields(cls)}
        try:
            state = State(document.pop("state"))
            cas, failure = (tuple(map(str, document.pop(name))) for name in ("cas", "failure"))
            if document.keys() - known:
                raise InputError(f"{what} has fields that are not known: {', '.join(sorted(document.keys() - known))}")
            return cls(state=state, cas=cas, failure=failure, **document)
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"{what} is malformed: {error}") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSecrets:
    """What of a run is secret.

    Attributes:
        template: of the session.
        variables: further variables of it.
        sessions: documents of other sessions that the CAS has to have.
        input_key, output_key: of the volumes; None before they are made.
    """

    template: str = field(repr=False)
    variables: Mapping[str, str] = field(repr=False, default_factory=dict)
    sessions: tuple[str, ...] = field(repr=False, default=())
    input_key: FspfKey | None = None
    output_key: FspfKey | None = None

    def to_json(self) -> Secret:
        """Write it."""
        document = {
            "version": _VERSION,
            "template": self.template,
            "variables": dict(self.variables),
            "sessions": list(self.sessions),
            "input_key": self.input_key.reveal_hex() if self.input_key else None,
            "output_key": self.output_key.reveal_hex() if self.output_key else None,
        }
        return Secret(json.dumps(document).encode())

    @classmethod
    def from_json(cls, data: bytes, what: str) -> Self:
        """Read it.

        Raises:
            InputError: it is of another version, or was changed by hand.
        """
        document = _document(data, what)
        try:
            return cls(
                template=str(document["template"]),
                variables={str(name): str(value) for name, value in document["variables"].items()},
                sessions=tuple(map(str, document["sessions"])),
                input_key=_key(document["input_key"]),
                output_key=_key(document["output_key"]),
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise InputError(f"{what} is malformed") from error


def _key(text: str | None) -> FspfKey | None:
    return None if text is None else FspfKey.from_hex(text)


def _document(data: bytes, what: str) -> dict[str, Any]:
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{what} is no JSON document") from error
    if not isinstance(document, dict) or document.pop("version", None) != _VERSION:
        raise InputError(f"{what} is not of version {_VERSION}", hint="use the version of bannock that made it")
    return document
