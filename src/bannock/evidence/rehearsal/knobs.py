"""What is to go wrong in a rehearsal. Pure."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Final, Self

from bannock.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["ALL_WELL", "Rehearsal"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rehearsal:
    """What is to go wrong; on the command line with hyphens, ``expired-collateral,outdated-tcb``.

    Attributes:
        expired_collateral: what the vendor says of the platform was for the time until a month ago.
        outdated_tcb: the platform's firmware is older than the vendor wants.
        software_hardening_needed: the platform is up to date, and programs on it have to protect themselves.
        insecure_configuration: the platform is up to date, and not configured as the vendor wants.
        revoked: the vendor revoked the certificate of the platform's key.
        debug: a debugger may look in.
        replay: the attester answers with evidence that it made for another attestation; no vendor's business.
    """

    expired_collateral: bool = False
    outdated_tcb: bool = False
    software_hardening_needed: bool = False
    insecure_configuration: bool = False
    revoked: bool = False
    debug: bool = False
    replay: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """What goes wrong, as :meth:`parse` takes it."""
        return tuple(each.name.replace("_", "-") for each in fields(self) if getattr(self, each.name))

    @classmethod
    def choices(cls) -> tuple[str, ...]:
        """All names that there are."""
        return tuple(each.name.replace("_", "-") for each in fields(cls))

    @classmethod
    def parse(cls, names: Iterable[str]) -> Self:
        """Make one of names.

        Raises:
            InputError: one of them is none.
        """
        known = {each.name.replace("_", "-"): each.name for each in fields(cls)}
        chosen = list(names)
        for each in chosen:
            if each not in known:
                raise InputError(
                    f"what can be rehearsed is one of {', '.join(known)}, found {each[:40]!r}",
                )
        return cls(**{known[each]: True for each in chosen})


ALL_WELL: Final = Rehearsal()
