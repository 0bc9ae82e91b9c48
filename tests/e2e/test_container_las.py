"""A LAS in a container, on a machine that is made up, and the services in containers that it measures."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Final

import pytest

from bannock.net.tls import Identity
from tests.protected_images import MEMORY

if TYPE_CHECKING:
    from tests.containers import Engine
    from tests.curated_images import CuratedImages
    from tests.e2e.site import Site
    from tests.protected_images import ProtectedImages

pytestmark = [pytest.mark.docker, pytest.mark.root]

_OWNER: Final = Identity.generate("owner")
_RIGHTS: Final = ("--network", "host", "--pid", "host", "--cap-add", "SYS_PTRACE", "--cap-add", "SYS_ADMIN")


def _session(measurement: str) -> str:
    return f"""
name: demo
version: "0.3.11"
services: [{{name: app, attestation: {{mrenclave: {measurement}}}, command: [/bin/sh, -c, "echo granted"]}}]
security: {{attestation: {{tolerate: [simulation], ignore_advisories: "*"}}}}
"""


def test_launched_programs_are_measured(
    engine: Engine, curated: CuratedImages, protected: ProtectedImages, site: Site
) -> None:
    """Where a platform vouches for the machine, the LAS knows the runtime of its own layer by the launcher."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    image = protected.of("busybox", "/bin/busybox")
    measurement = engine.in_container(image, options=("-e", "SCONE_HASH=1")).stdout.strip()
    site.post(_OWNER, _session(measurement))
    place = ("--tmpfs", "/var/lib/bannock")
    with engine.started(
        curated.of("las"), "--listen", address, "--simulate", "tdx", options=(*_RIGHTS, *place)
    ) as las:
        las.wait_for("LAS at")
        options = (*MEMORY, *site.container_options("demo/app"), "-e", f"SCONE_LAS_ADDR={address}")
        done = engine.in_container(image, options=options, check=False)
        assert f"MRENCLAVE {measurement} ('/bin/busybox')" in las.logs
        # All that the session does not accept.
        assert "Unexpected machine (platform, tdx)" in done.stderr
        assert "Error 1 of 1" in done.stderr
