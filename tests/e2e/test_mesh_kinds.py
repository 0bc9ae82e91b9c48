"""Services of every kind, on a real engine: built from their sources, started with a session, and changed."""

from __future__ import annotations

import http.server
import json
import os
import threading
import zipfile
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from tests.containers import BaseImages
    from tests.e2e.mesh_site import MeshSite

pytestmark = [pytest.mark.docker, pytest.mark.root]

_MANIFEST = """\
apiVersion: scone/5.8
kind: genservice
environment:
  local:
    - name: API_PASSWORD
      value: "$$SCONE::password$$"
  global:
    - name: API_USER
secrets:
  global:
  - name: password
    kind: ascii
    value: canary-secret-8811
build:
"""
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
_JAVA = """\
public class Hello {
    public static void main(String[] words) {
        System.out.print("hello " + System.getenv("API_USER") + " ");
        System.out.println(System.getenv("API_PASSWORD") + " " + words[0]);
    }
}
"""
_RUST = """\
fn main() {
    let of = |name| std::env::var(name).unwrap();
    println!("hello {} {} {}", of("API_USER"), of("API_PASSWORD"), std::env::args().nth(1).unwrap());
}
"""
_CARGO = '[package]\nname = "greeter"\nversion = "0.1.0"\nedition = "2021"\n'
_LOCK = 'version = 3\n\n[[package]]\nname = "greeter"\nversion = "0.1.0"\n'
_GO = """\
package main

import (
	"fmt"
	"os"
)

func main() {
	fmt.Println("hello", os.Getenv("API_USER"), os.Getenv("API_PASSWORD"), os.Args[1])
}
"""
_SAID = "hello me canary-secret-8811"


@pytest.fixture(scope="module")
def repository(mesh_site: MeshSite, bases: BaseImages) -> Iterator[str]:
    """Give a $SCONECTL_REPO whose images the engine has: one of them by all names, since each takes time to make."""
    repository = f"{mesh_site.engine.prefix}.example.com/sconectl"
    base = bases.with_packages("python3-pip", "nodejs", "tcc", "libc6-dev", cc="tcc")
    with _named(mesh_site, base, repository, "python", "node", "c", "c-build"):
        yield repository


@contextmanager
def _named(site: MeshSite, base: str, repository: str, *names: str) -> Iterator[None]:
    images = [f"{repository}/{name}:latest" for name in names]
    for image in images:
        site.engine.run("tag", base, image)
    try:
        yield
    finally:
        site.engine.run("rmi", *images, check=False)


def _service(site: MeshSite, name: str, files: Mapping[str, str], **build: Any) -> Path:
    """Write a manifest, and the files beside it."""
    directory = site.base / f"kind-{name}"
    directory.mkdir(exist_ok=True)
    for place, text in files.items():
        path = directory / place
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    described = {"name": name, "to": site.engine.name(f"kind-{name}"), **build}
    lines = [f"  {key}: {json.dumps(value)}\n" for key, value in described.items()]
    (directory / "service.yaml").write_text(_MANIFEST + "".join(lines))
    return directory


def _runs(site: MeshSite, directory: Path, *, name: str, said: str, repository: str = "") -> str:
    """Make a service, see what it says with its session, and return its image."""
    done = site.apply(directory, "--no-push", SCONECTL_REPO=repository)
    image = done.stdout.strip()
    facts = site.facts(image, directory / "target")
    site.session(name, facts, API_USER="me")
    ran = site.run(image, name)
    assert (ran.stdout, ran.returncode) == (f"{said}\n", 0), ran.stderr
    return image


def _refused(site: MeshSite, directory: Path, *, name: str, repository: str = "") -> None:
    """See that the session does not let a service in that was made of changed sources."""
    image = site.apply(directory, "--no-push", SCONECTL_REPO=repository).stdout.strip()
    ran = site.run(image, name)
    assert ran.returncode != 0
    assert "canary" not in ran.stdout + ran.stderr
    assert "Unexpected enclave measurement" in ran.stderr


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
    directory = _service(
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
        _runs(mesh_site, directory, name="kind-python", repository=repository, said=_SAID)


def test_node(mesh_site: MeshSite, repository: str) -> None:
    """The engine of Node runs with its own modules and those of the service; a changed module is refused."""
    files = {"app.js": _NODE, "lib/names.js": "exports.HELLO = 'hello';\n"}
    build = {"kind": "node", "command": "node app.js", "pwd": "/service", "copy": [*files]}
    directory = _service(mesh_site, "node", files, **build)
    _runs(mesh_site, directory, name="kind-node", repository=repository, said=f"{_SAID} /service")
    (directory / "lib" / "names.js").write_text("exports.HELLO = 'changed';\n")
    _refused(mesh_site, directory, name="kind-node", repository=repository)


def test_c(mesh_site: MeshSite, repository: str) -> None:
    """A program is compiled in a stage of its own; a changed source is refused."""
    build = {"kind": "c", "command": "greeter word", "copy": ["main.c"]}
    directory = _service(mesh_site, "c", {"main.c": _C}, **build)
    _runs(mesh_site, directory, name="kind-c", repository=repository, said=f"{_SAID} word")
    (directory / "main.c").write_text(_C.replace('"hello"', '"changed"'))
    _refused(mesh_site, directory, name="kind-c", repository=repository)


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
    directory = _service(mesh_site, "image", {}, **build)
    _runs(mesh_site, directory, name="kind-image", said=f"{_SAID} of-the-image /srv")
