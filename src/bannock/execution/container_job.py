"""What a container of a run is told, and what it says when it has ended: values, and their form as JSON.

Neither holds a secret: keys and tags go from the client to the CAS, and from there to an attested enclave alone. What
a container says is its host's word. Light to import: the container has it, too.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, Final, Self

from bannock.errors import InputError, PeerError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "INPUT", "JOB", "OUTCOME", "OUTCOME_BYTES_MAX", "OUTPUT", "PLACE", "RECORD", "ContainerJob", "ContainerOutcome",
]  # fmt: skip

#: The volume of a run is mounted here; all that a run leaves in a container is in it.
PLACE: Final = PurePosixPath("/var/lib/bannock/run")
INPUT: Final = "input"
OUTPUT: Final = "output"
JOB: Final = "job.json"
OUTCOME: Final = "outcome.json"
#: What the runtime says of the run.
RECORD: Final = "record.json"

OUTCOME_BYTES_MAX: Final = 1 << 20
_VERSION: Final = 1
_LOG_CHARACTERS_MAX: Final = 64 << 10
_TEXT_MAX: Final = 2000
_LINES_MAX: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerJob:
    """What a container is to do.

    Attributes:
        run: the name of the run.
        program: what is started; in its place is the launcher.
        input, output: where the two volumes are; None if they are in their places already.
        grant: what lets the container bring its output; None where it is taken from its place.
        seconds: how long the program may run; None: as long as it likes.
    """

    run: str
    program: str
    input: Mapping[str, Any] | None
    output: Mapping[str, Any] | None
    grant: Mapping[str, Any] | None
    seconds: float | None

    def to_json(self) -> bytes:
        """Write it."""
        document = {name: getattr(self, name) for name in ("run", "program", "input", "output", "grant", "seconds")}
        return json.dumps({"version": _VERSION, **document}).encode()

    @classmethod
    def from_json(cls, data: bytes) -> Self:
        """Read it.

        Raises:
            InputError: it is none.
        """
        document = _object(data)
        if document is None or document.get("version") != _VERSION:
            raise InputError(f"the job of this container is not one of version {_VERSION}")
        seconds = document.get("seconds")
        return cls(
            run=str(document.get("run")),
            program=str(document.get("program")),
            input=_part(document, "input"),
            output=_part(document, "output"),
            grant=_part(document, "grant"),
            seconds=float(seconds) if isinstance(seconds, int | float) else None,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerOutcome:
    """What a container says has happened.

    Attributes:
        exit_code: of the program, or of the error that kept it from running.
        ran: whether the program was started.
        stopped: whether it was ended by somebody from outside, before it was done.
        timed_out: whether it was ended because its time was over.
        error: why the container could not do its part, for people; empty if it did.
        log: the last of what program and runtime wrote.
        pushed: where its output is; None if it is in its place, or was not brought.
    """

    exit_code: int
    ran: bool = False
    stopped: bool = False
    timed_out: bool = False
    error: tuple[str, ...] = ()
    log: str = ""
    pushed: Mapping[str, Any] | None = None

    def to_json(self) -> bytes:
        """Write it."""
        document = {
            "version": _VERSION,
            "exit_code": self.exit_code,
            "ran": self.ran,
            "stopped": self.stopped,
            "timed_out": self.timed_out,
            "error": list(self.error),
            "log": self.log,
            "pushed": self.pushed,
        }
        return json.dumps(document).encode()

    @classmethod
    def from_json(cls, data: bytes) -> Self:
        """Read what somebody says who is not trusted.

        Raises:
            PeerError: it is malformed.
        """
        document = _object(data)
        code = None if document is None else document.get("exit_code")
        if document is None or document.get("version") != _VERSION or not isinstance(code, int):
            raise PeerError("what the container of the run says of its end is malformed")
        error = document.get("error")
        lines = error[:_LINES_MAX] if isinstance(error, list) else []
        return cls(
            exit_code=code & 0xFF,
            ran=document.get("ran") is True,
            stopped=document.get("stopped") is True,
            timed_out=document.get("timed_out") is True,
            error=tuple(str(line)[:_TEXT_MAX] for line in lines),
            log=str(document.get("log", ""))[-_LOG_CHARACTERS_MAX:],
            pushed=_part(document, "pushed"),
        )


def _object(data: bytes) -> dict[str, Any] | None:
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None


def _part(document: Mapping[str, Any], name: str) -> Mapping[str, Any] | None:
    value = document.get(name)
    return value if isinstance(value, dict) else None
