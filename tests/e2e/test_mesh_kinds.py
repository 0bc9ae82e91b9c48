"""Services of every kind, on a real engine: built from their sources, started with a session, and changed."""

from __future__ import annotations

import http.server
import os
import threading
import zipfile
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.mesh_kinds import SAID, named, refused, runs, service

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.containers import BaseImages
    from tests.e2e.mesh_site import MeshSite

pytestmark = [pytest.mark.docker, pytest.mark.root]

_NODE = """\
const {HELLO} = require('./lib/names');
console.log(HELLO, process.env.API_USER, process.env.API_PASSWORD, process.cwd());
"""
_C = """\
#include <stdio.h>
#include <stdlib.h>
int main(int count, char **words) {
    printf("%s %s %s %s\\n", "hello", getenv("API_USER"), getenv("API_PASSWORD"), words[1]);
    return 0;
}
"""
_PYTHON = "import greetings, os\nprint(greetings.HELLO, os.environ['API_USER'], os.environ['API_PASSWORD'])\n"


@pytest.fixture(scope="module")
def repository(mesh_site: MeshSite, bases: BaseImages) -> Iterator[str]:
    """Give a $SCONECTL_REPO whose images the engine has: one of them by all names, since each takes time to make."""
    repository = f"{mesh_site.engine.prefix}.example.com/sconectl"
    base = bases.with_packages("python3-pip", "nodejs", "tcc", "libc6-dev", cc="tcc")
    with named(mesh_site, base, repository, "python", "node", "c", "c-build"):
        yield repository


@contextmanager
def _index(directory: Path) -> Iterator[str]:
    """Serve an index of packages with one of ours, where containers of the engine reach it; give its address."""
    place = directory / "index" / "greetings"
    place.mkdir(parents=True, exist_ok=True)
    about = "greetings-1.0.dist-info"
    with zipfile.ZipFile(place / "greetings-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("greetings.py", "HELLO = 'hello'\n")
        wheel.writestr(f"{about}/METADATA", "Metadata-Version: 2.1\nName: greetings\nVersion: 1.0\n")
        wheel.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{about}/RECORD", "")

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments, directory=os.fspath(directory / "index"))

        def log_message(self, *_: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(("0.0.0.0", 0), Handler) as server:  # noqa: S104 - containers come from there
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f":{server.server_port}/"
        finally:
            server.shutdown()
            thread.join()


def test_python_with_packages(mesh_site: MeshSite, repository: str) -> None:
    """What pip installs is measured with the interpreter; a package's command starts as well."""
    gateway = mesh_site.engine.output("network", "inspect", "bridge", "-f", "{{(index .IPAM.Config 0).Gateway}}")
    directory = service(
        mesh_site,
        "python",
        {"app.py": _PYTHON},
        kind="python",
        command="python3 app.py",
        copy=["app.py"],
        requirements="requirements.txt",
    )
    with _index(mesh_site.base) as address:
        index = f"--index-url http://{gateway}{address}\n--trusted-host {gateway}\n"
        (directory / "requirements.txt").write_text(f"{index}greetings==1.0\n")
        runs(mesh_site, directory, name="kind-python", repository=repository, said=SAID)


def test_node(mesh_site: MeshSite, repository: str) -> None:
    """The engine of Node runs with its own modules and those of the service; a changed module is refused."""
    files = {"app.js": _NODE, "lib/names.js": "exports.HELLO = 'hello';\n"}
    build = {"kind": "node", "command": "node app.js", "pwd": "/service", "copy": [*files]}
    directory = service(mesh_site, "node", files, **build)
    runs(mesh_site, directory, name="kind-node", repository=repository, said=f"{SAID} /service")
    (directory / "lib" / "names.js").write_text("exports.HELLO = 'changed';\n")
    refused(mesh_site, directory, name="kind-node", repository=repository)


def test_c(mesh_site: MeshSite, repository: str) -> None:
    """A program is compiled in a stage of its own; a changed source is refused."""
    build = {"kind": "c", "command": "greeter word", "copy": ["main.c"]}
    directory = service(mesh_site, "c", {"main.c": _C}, **build)
    runs(mesh_site, directory, name="kind-c", repository=repository, said=f"{SAID} word")
    (directory / "main.c").write_text(_C.replace('"hello"', '"changed"'))
    refused(mesh_site, directory, name="kind-c", repository=repository)


def test_image(mesh_site: MeshSite, bases: BaseImages) -> None:
    """An image that exists already is a service as it is: variables and working directory are the service's."""
    context = mesh_site.base / "existing"
    context.mkdir()
    (context / "start.sh").write_text('#!/bin/sh\necho "hello $API_USER $API_PASSWORD $FROM_IMAGE $(pwd)"\n')
    (context / "start.sh").chmod(0o755)
    lines = [f"FROM {bases.busybox()}", "COPY start.sh /srv/", "WORKDIR /srv", "ENV FROM_IMAGE=of-the-image"]
    (context / "Dockerfile").write_text("\n".join([*lines, ""]))
    native = mesh_site.engine.built("kind-native", context)
    build = {"kind": "image", "from": native, "command": "/srv/start.sh"}
    directory = service(mesh_site, "image", {}, **build)
    runs(mesh_site, directory, name="kind-image", said=f"{SAID} of-the-image /srv")
