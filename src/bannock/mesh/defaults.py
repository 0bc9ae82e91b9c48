"""What ``--print-defaults`` prints of a service: its variables, and which of them a mesh has to set. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["default_lines"]


def default_lines(service: str, variables: Mapping[str, str | None], local: Mapping[str, str | None]) -> Iterator[str]:
    """Yield the lines of a service.

    Args:
        service: name of it.
        variables: those that a mesh sets; None where it has to.
        local: those that it cannot set; None for values that are not shown.
    """
    yield f"service {service}:"
    required = [name for name, value in variables.items() if value is None]
    defaults = [(name, value) for name, value in variables.items() if value is not None]
    for title, lines in (
        ("a mesh has to set", required),
        ("a mesh may set", [f"{name}={value}" for name, value in defaults]),
        ("the same in every mesh", [name if value is None else f"{name}={value}" for name, value in local.items()]),
    ):
        yield f"  {title}:"
        yield from (f"    {line}" for line in lines or ["nothing"])
