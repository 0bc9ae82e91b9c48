"""Every exit code of every command, in one table: what docs/errors.md and the manual pages say is made of this."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from bannock import errors
from bannock.cli.signals import BROKEN_PIPE, INTERRUPTED, TERMINATED

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from bannock.errors import BannockError

__all__ = [
    "OF_VERBS",
    "OTHERS",
    "TIMED_OUT",
    "ExitCode",
    "error_codes",
    "table",
]

#: As timeout(1) ends.
TIMED_OUT: Final = 124


@dataclass(frozen=True, slots=True, kw_only=True)
class ExitCode:
    """One row of the table.

    Attributes:
        code: what the shell sees.
        meaning: when a command ends with it.
        error: the class of errors that it is of; None where it is of none.
    """

    code: int
    meaning: str
    error: type[BannockError] | None = None


_MEANINGS: Final[Mapping[type[BannockError], str]] = {
    errors.BannockError: "never used by itself: the root of the classes below",
    errors.InputError: "a file, an option, an argument or a document that you gave is not usable as it is",
    errors.PolicySyntaxError: "a session document is not in the session language; all issues are listed with lines",
    errors.ManifestSyntaxError: (
        "a manifest of a service or a mesh is not as `sconectl schema` describes it; all issues are listed with lines"
    ),
    errors.PeerError: (
        "the other side of a connection does not do what the protocol asks, or is not who it has to be"
    ),
    errors.EvidenceError: "evidence is malformed, not authentic, stale, or meant for somebody else",
    errors.ActivationError: "evidence of a TPM holds, but nobody who is trusted vouches for its attestation key",
    errors.DeniedError: "a policy says no; all reasons are listed",
    errors.NotFoundError: "there is nothing of that name that you may see",
    errors.ConflictError: "somebody else changed it first, or it exists already",
    errors.IntegrityError: "stored data is not what was written: changed, moved, cut or exchanged",
    errors.RollbackError: "stored data is authentic, but older than the state that was confirmed last",
    errors.EnvironmentFault: ("the machine lacks something, a service cannot be reached, or a resource is exhausted"),
    errors.Bug: "a state that cannot be; please report it",
}

#: What ends a command without an error of ours.
OTHERS: Final = (
    ExitCode(code=0, meaning="it is done"),
    ExitCode(code=TIMED_OUT, meaning="the time of a run was over (`--timeout`)"),
    ExitCode(code=INTERRUPTED, meaning="ended by SIGINT (Ctrl-C), after cleaning up"),
    ExitCode(code=BROKEN_PIPE, meaning="nobody reads the output any more"),
    ExitCode(code=TERMINATED, meaning="ended by SIGTERM, after cleaning up"),
)

_OF_LOGS: Final = (
    ExitCode(code=0, meaning="the log is correct"),
    ExitCode(code=10, meaning="the log is correct; at least one transaction failed and was rolled back"),
    ExitCode(code=14, meaning="the newest entries are missing"),
    ExitCode(code=15, meaning="the oldest entries are missing"),
    ExitCode(code=16, meaning="a rollback of the CAS cannot be ruled out; also if it cannot be asked"),
    ExitCode(code=17, meaning="the CAS was rolled back, or entries are missing in the log"),
    ExitCode(code=18, meaning="the CAS was rolled back"),
    ExitCode(code=19, meaning="the log is not of the CAS that is expected"),
    ExitCode(code=20, meaning="the log is not authentic: it cannot be parsed, or a signature does not verify"),
)
_OF_APPLICATIONS: Final = (ExitCode(code=0, meaning="and all others, once it ran: those of the application"),)
_OF_FORECASTS: Final = (
    ExitCode(code=0, meaning="all that is looked at goes on"),
    ExitCode(code=30, meaning="something stops"),
)

#: What commands say by exit codes beside that.
OF_VERBS: Final[Mapping[str, tuple[ExitCode, ...]]] = {
    "bannock run": _OF_APPLICATIONS,
    "bannock execute": (*_OF_APPLICATIONS, ExitCode(code=TIMED_OUT, meaning="its time was over (`--timeout`)")),
    "bannock runs resume": (*_OF_APPLICATIONS, ExitCode(code=TIMED_OUT, meaning="its time was over (`--timeout`)")),
    "bannock check-host": (
        ExitCode(code=0, meaning="runs find there what they need"),
        ExitCode(code=50, meaning="something that they need is missing"),
    ),
    "bannock k8s exec": (ExitCode(code=0, meaning="and all others, once it ran: those of the command"),),
    "bannock k8s run": (
        ExitCode(code=0, meaning="every pod has ended well, or they run on (`--detach`)"),
        ExitCode(code=50, meaning="a pod has failed, or could not be started"),
    ),
    "bannock doctor": (
        ExitCode(code=0, meaning="there is no problem (`--strict`: and no warning)"),
        ExitCode(code=50, meaning="there is one"),
    ),
    "bannock cas forecast": _OF_FORECASTS,
    "scone cas attest": (
        ExitCode(code=21, meaning="the evidence of the CAS does not hold"),
        ExitCode(code=30, meaning="the evidence holds, and the CAS is not what is expected"),
    ),
    "scone cas attest-audit-log": _OF_LOGS,
    "scone cas collateral import": _OF_FORECASTS,
    "scone cas forecast": _OF_FORECASTS,
    "scone cas verify-audit-log": _OF_LOGS,
    "scone fspf check": (
        ExitCode(code=0, meaning="all is whole"),
        ExitCode(code=40, meaning="something is damaged"),
        ExitCode(code=41, meaning="all is whole, but it is not the state that is expected"),
    ),
    "scone session create": (ExitCode(code=32, meaning="the session is there already, or has changed meanwhile"),),
    "scone session read": (ExitCode(code=41, meaning="the CAS answers with less than it has answered before"),),
    "scone session update": (ExitCode(code=32, meaning="the session has changed meanwhile"),),
    "scone session verify": (ExitCode(code=32, meaning="the session of the CAS is not the one in the file"),),
    "sconectl check_prerequisites": (
        ExitCode(code=0, meaning="nothing is missing"),
        ExitCode(code=50, meaning="something is missing"),
    ),
}


def error_codes() -> tuple[ExitCode, ...]:
    """Return the codes of errors, from the smallest to the largest."""
    rows = [ExitCode(code=error.exit_code, meaning=text, error=error) for error, text in _MEANINGS.items()]
    return tuple(sorted(rows, key=lambda row: row.code))


def table() -> str:
    """Return all tables in Markdown, as they stand in docs/errors.md."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    yield from ("| code | class | kind | what it means |", "|---|---|---|---|")
    for row in error_codes():
        if row.error is not None:
            yield f"| {row.code} | `{row.error.__name__}` | `{row.error.kind}` | {row.meaning} |"
    yield from ("", "Without an error of these:", "", "| code | when |", "|---|---|")
    for row in OTHERS:
        yield f"| {row.code} | {row.meaning} |"
    yield from (
        "",
        "Some commands tell more by their exit codes:",
        "",
        "| command | code | what it means |",
        "|---|---|---|",
    )
    for verb, rows in OF_VERBS.items():
        for row in rows:
            yield f"| `{verb}` | {row.code} | {row.meaning} |"
