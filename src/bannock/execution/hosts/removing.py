"""How a host is forgotten: not while there is something of ours on it that only its key reaches."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bannock.errors import ConflictError
from bannock.execution.hosts.adding import revoke_line
from bannock.execution.hosts.book import HostBook
from bannock.execution.runs.book import RunBook

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["remove_host"]


def remove_host(conf: Path, alias: str, *, force: bool = False) -> str:
    """Forget a host, and return the command that takes our access to it away.

    Args:
        conf: directory of the configuration.
        alias: of the host.
        force: also if runs on it are not done.

    Raises:
        NotFoundError: there is no such host.
        ConflictError: runs on it are not done: their containers and outputs would be out of reach.
    """
    book = HostBook(conf)
    book.get(alias)
    left = [record.name for record in RunBook(conf).all() if record.host == alias]
    if left and not force:
        raise ConflictError(
            f"host {alias} has runs that are not done: {', '.join(left)}",
            hint="bannock runs resume NAME, or bannock runs cancel NAME; --force leaves on the host what is there",
        )
    return revoke_line(*book.remove(alias))
