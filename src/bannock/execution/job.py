"""What a client asks of a host, and what the host says has happened. Values only.

A job holds no secret: keys and tags go from the client to the CAS, and from there to an attested enclave alone.
What a host answers is its own word; the client takes nothing from it but text to show and a place to fetch from. Text
loses its control characters, so that a host cannot play with the terminal of whoever reads it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Self

from bannock.errors import InputError
from bannock.identity.tree import MeasurementTree
from bannock.policy.canonical import canonical_json

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bannock.execution.application import Application
    from bannock.execution.transfer.client import Uploaded
    from bannock.net.address import Address
    from bannock.runtime.settings import Mount
    from bannock.values import KeyHash

__all__ = ["RECORD_BYTES_MAX", "Job", "Outcome", "Record", "harmless"]

#: Of what a runtime says of a run.
RECORD_BYTES_MAX: Final = 16 << 20
_TEXT_MAX: Final = 2000
_LAST_LINES: Final = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One run.

    Attributes:
        run: its name, unique, usable as a file name.
        application: what to run.
        session: the session that it runs under.
        transfer: base URL of the transfer service.
        input_url, output_url: where the two volumes are.
        cas: the enclave interface of the CAS.
        cas_key: the key that the CAS must have.
        las: address of the LAS of the host.
        mount: how volumes come under the application.
    """

    run: str
    application: Application
    session: str
    transfer: str
    input_url: str
    output_url: str
    cas: Address
    cas_key: KeyHash
    las: str
    mount: Mount


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What the runtime says of a run; empty where it says nothing.

    Attributes:
        mrenclave: what was measured.
        tree: the parts of the measurement; None if there are none.
        platform: what protected it.
        mount: how volumes came under it.
        before, after: volume → its state.
        error: why it was refused or broken off, for people; empty if the application ran to its end.
    """

    mrenclave: str = ""
    tree: MeasurementTree | None = None
    platform: str = ""
    mount: str = ""
    before: Mapping[str, str] = field(default_factory=dict)
    after: Mapping[str, str] = field(default_factory=dict)
    error: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "error", tuple(map(harmless, self.error)))

    @classmethod
    def from_bytes(cls, data: bytes, log: str) -> Self:
        """Read what the runtime wrote; a runtime that was killed wrote nothing, which is an error of its own."""
        try:
            document = json.loads(data)
        except (ValueError, RecursionError):
            document = None
        if not isinstance(document, dict):
            return cls(error=("the runtime ended without a record of the run; its last words:", *_last(log)))
        error = document.get("error")
        return cls(
            mrenclave=_text(document.get("mrenclave")),
            tree=_tree(document.get("tree")),
            platform=_text(document.get("platform")),
            mount=_text(document.get("mount")),
            before=_texts(document.get("before")),
            after=_texts(document.get("after")),
            error=tuple(map(_text, error)) if isinstance(error, list) else (),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a host says has happened.

    Attributes:
        exit_code: of the application, or of the error that kept it from running.
        record: what the runtime says.
        log: the last of what application and runtime wrote.
        output: where the output volume is; None where the application did not run to its end.
    """

    exit_code: int
    record: Record
    log: str
    output: Uploaded | None

    def __post_init__(self) -> None:
        object.__setattr__(self, "log", harmless(self.log))


def harmless(text: str) -> str:
    """Return a text of somebody who is not trusted without what a terminal would obey."""
    return "".join(char if char.isprintable() or char in "\n\t" else "\N{REPLACEMENT CHARACTER}" for char in text)


def _last(log: str) -> list[str]:
    return [line[:_TEXT_MAX] for line in log.splitlines()[-_LAST_LINES:]]


def _tree(value: Any) -> MeasurementTree | None:
    try:
        return MeasurementTree.from_json(canonical_json(value)) if value else None
    except (InputError, ValueError, RecursionError):
        return None


def _text(value: Any) -> str:
    return value[:_TEXT_MAX] if isinstance(value, str) else ""


def _texts(value: Any) -> Mapping[str, str]:
    return {_text(name): _text(text) for name, text in value.items()} if isinstance(value, dict) else {}
