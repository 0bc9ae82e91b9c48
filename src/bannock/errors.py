"""Every error that Bannock raises, and how it is told to a person.

The tree answers "whose fault is it?", because that decides what the user does next::

    BannockError
    ├── InputError           what the user gave: a file, an option, a document
    │   ├── PolicySyntaxError    a session document, with every issue in it
    │   └── ManifestSyntaxError  a manifest of a service or a mesh, likewise
    ├── PeerError            the other side of a connection misbehaved or is not who it has to be
    │   └── EvidenceError        its evidence does not hold
    │       └── ActivationError      it would, if an authority vouched for the key that signed it
    ├── DeniedError          a policy says no
    │   └── NotFoundError        there is nothing of that name that the caller may see
    │   └── ConflictError        somebody else changed it first, or it exists already
    ├── IntegrityError       stored data is not what it was when it was written
    │   └── RollbackError        it is older than the state that was confirmed last
    ├── EnvironmentFault     this machine lacks something, or a resource is exhausted
    └── Bug                  ours; please report it

No exception class is declared elsewhere in the package. Exit codes are API (``docs/errors.md``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = [
    "ActivationError",
    "BannockError",
    "Bug",
    "ConflictError",
    "DeniedError",
    "EnvironmentFault",
    "EvidenceError",
    "InputError",
    "IntegrityError",
    "Issue",
    "ManifestSyntaxError",
    "NotFoundError",
    "PeerError",
    "PolicySyntaxError",
    "RollbackError",
    "causes",
    "family_of",
    "render",
]


class BannockError(Exception):
    """The root of all errors.

    Args:
        message: what failed, what was expected and what was found; lower case, no full stop, no secret.
        reasons: further facts on the same level, one a line (a tree of a refused appraisal, for example).
        hint: what the user can do about it.
        withheld: further reasons that are for the log of whoever runs the program, and not for the other side.
    """

    exit_code: ClassVar[int] = 1
    #: Stable machine-readable name, the last part of the problem type (RFC 9457) that services answer with.
    kind: ClassVar[str] = "error"

    def __init__(
        self,
        message: str,
        *,
        reasons: Iterable[str] = (),
        hint: str | None = None,
        withheld: Iterable[str] = (),
    ) -> None:
        super().__init__(message)
        self.message = message
        self.reasons = tuple(reasons)
        self.hint = hint
        self.withheld = tuple(withheld)

    def __str__(self) -> str:
        return self.message


class InputError(BannockError):
    """Something the user gave is not usable as it is."""

    exit_code = 2
    kind = "invalid-input"


@dataclass(frozen=True, slots=True, kw_only=True)
class Issue:
    """One defect of a document, at its place.

    Attributes:
        line: 1-based line, 0 where the defect has no place (an empty document).
        column: 1-based column.
        path: where in the document, for example ``services[0].attestation.mrenclave``.
        message: what was found and what is allowed.
        hint: the nearest thing that would have been right, or None.
    """

    line: int
    column: int
    path: str
    message: str
    hint: str | None = None

    def __str__(self) -> str:
        where = f"{self.path}: " if self.path else ""
        tail = f" ({self.hint})" if self.hint else ""
        return f"{where}{self.message}{tail} at line {self.line} column {self.column}"


class PolicySyntaxError(InputError):
    """A session document is not in the session language; carries every issue that was found."""

    exit_code = 3
    kind = "invalid-session"

    def __init__(self, message: str, issues: Iterable[Issue], *, hint: str | None = None) -> None:
        self.issues = tuple(issues)
        super().__init__(message, reasons=[str(issue) for issue in self.issues], hint=hint)


class ManifestSyntaxError(InputError):
    """A manifest of a service or a mesh is not as its description asks; carries every issue that was found."""

    exit_code = 4
    kind = "invalid-manifest"

    def __init__(self, message: str, issues: Iterable[Issue], *, hint: str | None = None) -> None:
        self.issues = tuple(issues)
        super().__init__(message, reasons=[str(issue) for issue in self.issues], hint=hint)


class PeerError(BannockError):
    """The other side of a connection did not do what the protocol asks."""

    exit_code = 20
    kind = "peer"


class EvidenceError(PeerError):
    """Evidence is malformed, not authentic, stale or meant for somebody else."""

    exit_code = 21
    kind = "evidence"


class ActivationError(EvidenceError):
    """Evidence holds but for this: nobody who is trusted vouches for the attestation key of its TPM.

    Args:
        challenge: what the TPM can prove itself by; None where nobody gives one.
    """

    exit_code = 22
    kind = "activation"

    def __init__(
        self,
        message: str,
        *,
        reasons: Iterable[str] = (),
        hint: str | None = None,
        withheld: Iterable[str] = (),
        challenge: bytes | None = None,
    ) -> None:
        super().__init__(message, reasons=reasons, hint=hint, withheld=withheld)
        self.challenge = challenge


class DeniedError(BannockError):
    """A policy does not allow what was asked for."""

    exit_code = 30
    kind = "denied"


class NotFoundError(DeniedError):
    """There is nothing of that name that the caller may see."""

    exit_code = 31
    kind = "not-found"


class ConflictError(DeniedError):
    """The thing exists already, or changed since the caller looked."""

    exit_code = 32
    kind = "conflict"


class IntegrityError(BannockError):
    """Stored data is not what was written: changed, moved, cut or exchanged."""

    exit_code = 40
    kind = "integrity"


class RollbackError(IntegrityError):
    """Stored data is authentic, yet older than the state that was confirmed last."""

    exit_code = 41
    kind = "rollback"


class EnvironmentFault(BannockError):
    """The machine lacks something that is needed, or a resource is exhausted."""

    exit_code = 50
    kind = "environment"


class Bug(BannockError):
    """A state that cannot be; ours to mend."""

    exit_code = 70
    kind = "bug"


def causes(error: BaseException) -> Iterator[BaseException]:
    """Yield the error and every explicit cause below it, outermost first."""
    current: BaseException | None = error
    while current is not None:
        yield current
        current = current.__cause__


def family_of(exit_code: int) -> type[BannockError]:
    """Return the error that a runtime on another machine ended with; PeerError for what no runtime ends with.

    Args:
        exit_code: what is said of it there: shown, and not relied on.
    """
    return next((family for family in _OF_RUNTIMES if family.exit_code == exit_code), PeerError)


def render(error: BannockError) -> list[str]:
    """Tell the error to a person: what failed, ``Caused by`` down to the root, and what to do.

    A foreign exception in the chain is shown by its message alone; a traceback never is.
    """
    lines: list[str] = []
    hint: str | None = None
    for depth, cause in enumerate(causes(error)):
        lines.append(f"{'Error' if depth == 0 else '  Caused by'}: {cause}")
        if isinstance(cause, BannockError):
            lines.extend(f"    {reason}" for reason in (*cause.reasons, *cause.withheld))
            hint = hint or cause.hint
    if hint:
        lines.append(f"Hint: {hint}")
    return lines


#: What keeps a program from running as an enclave.
_OF_RUNTIMES: Final[tuple[type[BannockError], ...]] = (
    InputError,
    EvidenceError,
    DeniedError,
    NotFoundError,
    ConflictError,
    IntegrityError,
    RollbackError,
    EnvironmentFault,
)
