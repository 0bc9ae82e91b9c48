"""A program for the C library that Alpine has, which is its own loader, in an image with that library."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import TYPE_CHECKING, Final

import pytest

from bannock.net.tls import Identity
from tests.protected_images import FUSE, MEMORY

if TYPE_CHECKING:
    from pathlib import Path

    from tests.containers import Engine
    from tests.e2e.site import Site
    from tests.protected_images import ProtectedImages

pytestmark = [
    pytest.mark.docker,
    pytest.mark.root,
    pytest.mark.skipif(shutil.which("musl-gcc") is None, reason="needs musl-tools"),
]

_COMPILER: Final = shutil.which("musl-gcc") or ""

_OWNER: Final = Identity.generate("owner")
_NOBODY: Final = 65534
_PROGRAM: Final = """
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/auxv.h>

static void *keep(void *secret) {
    FILE *file = fopen("/data/file", "a");
    fprintf(file, "%s\\n", (char *) secret);
    fclose(file);
    return 0;
}

int main(int count, char **words) {
    char line[64] = "nothing";
    FILE *file = fopen("/data/file", "r");
    if (file) fgets(line, sizeof line, file);
    pthread_t thread;
    pthread_create(&thread, 0, keep, getenv("SECRET"));
    pthread_join(thread, 0);
    printf("%s %s %s\\n", (char *) getauxval(AT_EXECFN), words[count - 1], line);
    return count;
}
"""


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a program with threads, files and words of its own."""
    directory = tmp_path_factory.mktemp("musl")
    (directory / "program.c").write_text(_PROGRAM)
    subprocess.run([_COMPILER, "-O1", "-o", "program", "program.c"], cwd=directory, check=True)
    return directory / "program"


@pytest.mark.parametrize(
    ("options", "user"),
    [
        pytest.param(FUSE, 0, marks=pytest.mark.fuse, id="fuse"),
        pytest.param(MEMORY, _NOBODY, id="memory-user"),
    ],
)
def test_it_runs(
    engine: Engine,
    protected: ProtectedImages,
    site: Site,
    program: Path,
    tmp_path: Path,
    options: tuple[str, ...],
    user: int,
) -> None:
    """It gets its words, its environment and its volume; its exit code is the container's."""
    image = protected.of("musl", "/bin/program", program)
    measurement = engine.in_container(image, options=("-e", "SCONE_HASH=1")).stdout.strip()
    site.post(
        _OWNER,
        f"""
name: demo
version: "0.3.10"
services:
  - {{name: app, image_name: image, mrenclaves: [{measurement}], command: [/bin/program, one, two],
      environment: {{SECRET: canary}}}}
images: [{{name: image, volumes: [{{name: data, path: /data}}]}}]
volumes: [{{name: data}}]
security: {{attestation: {{tolerate: [simulation]}}}}
""",
    )
    data = tmp_path / "data"
    data.mkdir()
    os.chown(data, user, user)
    service = (*site.container_options("demo/app"), "-v", f"{data}:/data", "-u", str(user))
    for expected in ("nothing\n", "canary\n\n"):
        done = engine.in_container(image, options=(*options, *service), check=False)
        assert (done.returncode, done.stdout) == (3, f"/bin/program two {expected}"), done.stderr
    assert not any(b"canary" in path.read_bytes() for path in data.rglob("*") if path.is_file())
