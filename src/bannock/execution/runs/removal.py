"""Taking a run away: from its host, from what carried its volumes, and from this machine."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from bannock.errors import NotFoundError
from bannock.execution.transfer.backends import SSH, backend_for
from bannock.execution.transfer.volumes import discard_incoming
from bannock.values import FspfTag

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bannock.execution.runs.book import OpenRun
    from bannock.execution.runs.container import RunContainer
    from bannock.execution.runs.record import RunRecord
    from bannock.execution.transfer.interface import Backend

__all__ = ["backend_of", "remove_run"]


def backend_of(record: RunRecord, environment: Mapping[str, str], container: RunContainer) -> Backend:
    """Return the way of a run's volumes."""
    return backend_for(record.transfer or SSH, environment=environment, place=container)


def remove_run(run: OpenRun, environment: Mapping[str, str], container: RunContainer) -> None:
    """Remove all that there is of a run: container, volume, parcels, what has come of its outputs, and its record.

    Args:
        run: what is known of it.
        environment: with credentials for transfer services.
        container: of the run.

    Raises:
        BannockError: something cannot be removed; the record stays.
    """
    record = run.record
    if record.cas_there:
        # It is written down before the container is made.
        container.stop()
        container.remove()
    backend = backend_of(record, environment, container)
    for parcel in (record.source, record.results, record.outcome):
        if parcel is not None:
            with suppress(NotFoundError):
                backend.forget(record.name, parcel)
    backend.sweep(record.name)
    if record.output_after:
        discard_incoming(Path(record.output), FspfTag.from_hex(record.output_after))
    run.forget()
