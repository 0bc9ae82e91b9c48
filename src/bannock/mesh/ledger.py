"""What was made of a mesh the last time, for CASes that are not asked: kept in the directory ``target``.

Policies that somebody else uploads name their predecessor all the same. So the hash of the version that was made last
is kept; if that one was never uploaded, the CAS refuses the next one.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Final, Self

from bannock.errors import InputError
from bannock.files import make_durable_directory, read_private, write_atomically
from bannock.mesh.policies import PolicyKind
from bannock.mesh.uploading import following
from bannock.policy.parse import parse_session

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from bannock.mesh.policies import Policy

__all__ = ["Ledger", "Made", "Numbered"]

_FORMAT: Final = 1
_FILE: Final = "ledger.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A version of a session that was made.

    Attributes:
        base: hash of it without predecessor.
        digest: hash of it.
        predecessor: hash of the version before; None for the first one.
        measurements: that it accepts.
    """

    base: str
    digest: str
    predecessor: str | None = None
    measurements: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Numbered:
    """A policy as a CAS takes it that has the version before.

    Attributes:
        policy: without predecessor.
        text: with it.
        first: whether there is none before it.
    """

    policy: Policy
    text: str = field(repr=False)
    first: bool


class Ledger:
    """What was made, by the names of sessions.

    Args:
        made: of before.
    """

    def __init__(self, made: dict[str, Made] | None = None) -> None:
        self._made = dict(made or {})

    @classmethod
    def read(cls, directory: Path) -> Self:
        """Read it; one that is not there is empty.

        Raises:
            InputError: it is not what was written, or open to others.
        """
        path = directory / _FILE
        if not path.exists():
            return cls()
        try:
            document: Any = json.loads(read_private(path))
            if document["version"] != _FORMAT:
                raise KeyError
            made = {
                str(name): Made(**{**entry, "measurements": tuple(entry["measurements"])})
                for name, entry in document["sessions"].items()
            }
        except (ValueError, TypeError, KeyError, AttributeError):
            raise InputError(
                f"{path} is not what sconectl wrote", hint="remove it if none of the policies was uploaded"
            ) from None
        return cls(made)

    def write(self, directory: Path) -> None:
        """Write it.

        Raises:
            EnvironmentFault: the file system refuses.
        """
        make_durable_directory(directory)
        document = {"version": _FORMAT, "sessions": {name: asdict(made) for name, made in self._made.items()}}
        write_atomically(directory / _FILE, json.dumps(document, indent=2).encode())

    def names(self) -> tuple[str, ...]:
        """Return the names of all sessions that were made."""
        return tuple(self._made)

    def base(self, name: str) -> str:
        """Return the hash of the last version of a policy, without its predecessor; empty where there is none."""
        made = self._made.get(name)
        return "" if made is None else made.base

    def measurements(self, name: str) -> tuple[str, ...]:
        """Return what the last version of a policy accepts, the newest first."""
        made = self._made.get(name)
        return () if made is None else made.measurements

    def number(self, policy: Policy, measurements: Iterable[str] = ()) -> Numbered:
        """Give a policy its predecessor, and remember it; one that did not change stays the version that it was."""
        before = self._made.get(policy.name)
        predecessor = None
        if before is not None and policy.kind is not PolicyKind.NAMESPACE:
            predecessor = before.predecessor if before.base == policy.digest else before.digest
        text = policy.text if predecessor is None else following(policy.text, predecessor)
        digest = policy.digest if predecessor is None else parse_session(text, variables=None).digest
        self._made[policy.name] = Made(
            base=policy.digest, digest=digest, predecessor=predecessor, measurements=tuple(measurements)
        )
        return Numbered(policy=policy, text=text, first=predecessor is None)

    def uploaded(self, policy: Policy, digest: str, measurements: Iterable[str] = ()) -> None:
        """Remember what a CAS has."""
        before = self._made.get(policy.name)
        predecessor = before.predecessor if before is not None and before.digest == digest else None
        self._made[policy.name] = Made(
            base=policy.digest, digest=digest, predecessor=predecessor, measurements=tuple(measurements)
        )
