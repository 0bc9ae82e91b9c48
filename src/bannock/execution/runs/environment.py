"""What a run's container is started with: settings for the runtime in it, and nothing that is secret. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from bannock.execution.container_job import INPUT, OUTPUT, PLACE, RECORD
from bannock.execution.services import LAS_SOCKET

if TYPE_CHECKING:
    from bannock.execution.runs.record import RunRecord
    from bannock.net.address import Address
    from bannock.values import KeyHash

__all__ = ["LAS_MOUNT", "container_environment"]

#: Where a container of this machine sees the directory of an embedded LAS's socket.
LAS_MOUNT: Final = "/run/bannock-las"
#: An embedded CAS is away as long as nobody works on the run: until somebody resumes it.
_EMBEDDED_PATIENCE: Final = 24 * 3600


def container_environment(
    record: RunRecord, *, cas: Address, key: KeyHash, las: str, embedded: bool
) -> dict[str, str]:
    """Return the environment of a run's container.

    Args:
        record: what is known of the run.
        cas: the enclave interface, as the host reaches it.
        key: the key that the CAS must have.
        las: the LAS, as the container reaches it.
        embedded: whether the CAS is one that ends with the client.
    """
    environment = {
        **record.environment,
        **record.settings,
        "SCONE_LOG": "INFO",
        "SCONE_CAS_ADDR": str(cas),
        "SCONE_LAS_ADDR": f"unix:{LAS_MOUNT}/{LAS_SOCKET}" if record.las_here else las,
        "SCONE_CONFIG_ID": f"{record.session}/{record.service}",
        "BANNOCK_CAS_KEY": str(key),
        "BANNOCK_MOUNT": record.mount,
        "BANNOCK_RECORD": str(PLACE / RECORD),
        f"BANNOCK_VOLUME_{record.input_volume}": str(PLACE / INPUT),
        f"BANNOCK_VOLUME_{record.output_volume}": str(PLACE / OUTPUT),
    }
    if embedded:
        environment["BANNOCK_CAS_PATIENCE"] = str(_EMBEDDED_PATIENCE)
    return environment
