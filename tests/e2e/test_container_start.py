"""Services in containers: images with and without a C library or a shell, as root and not, with FUSE and in memory."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

import pytest

from bannock.errors import EnvironmentFault
from bannock.net.tls import Identity
from tests.protected_images import FUSE, MEMORY

if TYPE_CHECKING:
    from pathlib import Path

    from tests.containers import Engine
    from tests.e2e.site import Site
    from tests.protected_images import ProtectedImages

pytestmark = [pytest.mark.docker, pytest.mark.root]

_OWNER: Final = Identity.generate("owner")
_PROGRAMS: Final = {
    "python": ("/usr/bin/python3.11", "/usr/bin/python3", "-c"),
    "musl": ("/bin/busybox", "/bin/sh", "-c"),
    "busybox": ("/bin/busybox", "/bin/sh", "-c"),
    "empty": ("/busybox", "/busybox", "sh", "-c"),
}
_SHELL: Final = "echo $SECRET $HOST; cat /data/file || echo kept > /data/file"
_PYTHON: Final = (
    "import os, pathlib; p = pathlib.Path('/data/file'); print(os.environ['SECRET'] + os.environ.get('HOST', ''));"
    "print(p.read_text()) if p.exists() else p.write_text('kept')"
)
_NOBODY: Final = 65534


def _session(what: str, measurement: str) -> str:
    program, *words = _PROGRAMS[what][1:]
    command = [program, *words, _PYTHON if what == "python" else _SHELL]
    return f"""
name: demo
version: "0.3.10"
services:
  - name: app
    image_name: image
    mrenclaves: [{measurement}]
    command: {command!r}
    environment: {{SECRET: $$SCONE::secret$$}}
images: [{{name: image, volumes: [{{name: data, path: /data}}]}}]
volumes: [{{name: data}}]
secrets: [{{name: secret, kind: ascii, value: canary}}]
security: {{attestation: {{tolerate: [simulation]}}}}
"""


@pytest.mark.parametrize(
    ("what", "options", "user"),
    [
        pytest.param("python", FUSE, 0, marks=pytest.mark.fuse, id="python-fuse"),
        pytest.param("python", MEMORY, _NOBODY, id="python-memory-user"),
        pytest.param("musl", FUSE, _NOBODY, marks=pytest.mark.fuse, id="musl-fuse-user"),
        pytest.param("busybox", MEMORY, 0, id="busybox-memory"),
        pytest.param("empty", FUSE, 0, marks=pytest.mark.fuse, id="empty-fuse"),
        pytest.param("empty", FUSE, _NOBODY, marks=pytest.mark.fuse, id="empty-fuse-user"),
        pytest.param("empty", MEMORY, 0, id="empty-memory"),
        pytest.param("empty", MEMORY, _NOBODY, id="empty-memory-user"),
    ],
)
def test_runs_a_service(
    engine: Engine,
    protected: ProtectedImages,
    site: Site,
    tmp_path: Path,
    what: str,
    options: tuple[str, ...],
    user: int,
) -> None:
    """The measured program gets its secrets and its volume, and nothing of the container's environment."""
    image = protected.of(what, _PROGRAMS[what][0])
    measurement = engine.in_container(image, options=("-e", "SCONE_HASH=1")).stdout.strip()
    site.post(_OWNER, _session(what, measurement))
    data = tmp_path / "data"
    data.mkdir()
    os.chown(data, user, user)
    service = (*site.container_options("demo/app"), "-v", f"{data}:/data", "-e", "HOST=x", "-u", str(user))
    for expected in ("canary\n", "canary\nkept\n"):
        done = engine.in_container(image, "of-the-host", options=(*options, *service), check=False)
        assert done.stdout == expected, done.stderr
        assert done.returncode == 0
    assert not any(b"kept" in path.read_bytes() for path in data.rglob("*") if path.is_file())


def test_says_which_options_are_missing(engine: Engine, protected: ProtectedImages, site: Site) -> None:
    """A container with what an engine gives by default is refused, and told what to be started with."""
    image = protected.of("busybox", "/bin/busybox")
    done = engine.in_container(image, options=site.container_options("demo/app"), check=False)
    assert done.returncode == EnvironmentFault.exit_code
    assert (
        "Hint: docker run --device /dev/fuse --security-opt seccomp=unconfined …, "
        "or with volumes in memory docker run --security-opt seccomp=unconfined …" in done.stderr
    )
