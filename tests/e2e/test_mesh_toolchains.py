"""Services in Java, Rust and Go, whose compilers take minutes to be fetched: `make test-toolchains`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from tests.e2e.mesh_kinds import SAID, named, refused, runs, service

if TYPE_CHECKING:
    from tests.containers import BaseImages
    from tests.e2e.mesh_site import MeshSite

pytestmark = [pytest.mark.docker, pytest.mark.root, pytest.mark.toolchains]

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
_KINDS: Final = {
    "java": ({"Hello.java": _JAVA}, "java Hello word"),
    "rust": ({"Cargo.toml": _CARGO, "Cargo.lock": _LOCK, "src/main.rs": _RUST}, "greeter word"),
    "go": ({"go.mod": "module example.com/greeter\n\ngo 1.19\n", "main.go": _GO}, "greeter word"),
}
_JDK: Final = "../lib/jvm/java-17-openjdk-amd64/bin"
#: Packages of Debian, and links that it makes when it sets them up.
_PACKAGES: Final[dict[str, tuple[tuple[str, ...], dict[str, str]]]] = {
    "java": (("openjdk-17-jdk-headless",), {"java": f"{_JDK}/java", "javac": f"{_JDK}/javac"}),
    "rust": (("cargo", "gcc", "libc6-dev"), {"cc": "gcc"}),
    "go": (("golang-go",), {}),
}


@pytest.mark.parametrize("kind", _KINDS)
def test_compiled(kind: str, mesh_site: MeshSite, bases: BaseImages) -> None:
    """It runs with its variables and its secret; a changed source is refused."""
    files, command = _KINDS[kind]
    packages, links = _PACKAGES[kind]
    repository = f"{mesh_site.engine.prefix}.example.com/{kind}"
    with (
        named(mesh_site, bases.with_packages(*packages, **links), repository, "java", f"{kind}-build"),
        named(mesh_site, bases.python(), repository, *({kind} - {"java"})),
    ):
        copied = sorted({path.partition("/")[0] for path in files})
        directory = service(mesh_site, kind, files, kind=kind, command=command, copy=copied)
        runs(mesh_site, directory, name=f"kind-{kind}", repository=repository, said=f"{SAID} word")
        for path in directory.rglob("*.*"):
            if path.suffix in {".java", ".rs", ".go"}:
                path.write_text(path.read_text().replace("hello ", "changed ").replace('"hello"', '"changed"'))
        refused(mesh_site, directory, name=f"kind-{kind}", repository=repository)
