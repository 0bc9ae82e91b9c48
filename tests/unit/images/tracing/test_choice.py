"""Which directories are chosen to be protected, and what is told of the rest."""

from __future__ import annotations

import tarfile
from typing import TYPE_CHECKING

import pytest

from bannock.images.tracing.choice import Choice, choose
from bannock.images.tracing.strace_log import Access, Kind
from bannock.images.tree import Tree
from tests.unit.images.build import image, item, layer, tar

if TYPE_CHECKING:
    from bannock.images.blobs import Scratch

_LIBRARIES = "usr/lib/x86_64-linux-gnu"


@pytest.fixture
def tree(scratch: Scratch) -> Tree:
    """An image like Debian's with Python and an application."""
    return Tree.of(
        image(
            layer(
                tar(
                    {
                        "app/server.py": b"",
                        "etc/hosts": b"",
                        "etc/localtime": item("etc/localtime", tarfile.SYMTYPE, link="/usr/share/zoneinfo/Etc/UTC"),
                        "etc/mime.types": b"",
                        "etc/ssl/openssl.cnf": b"",
                        "lib": item("lib", tarfile.SYMTYPE, link="usr/lib"),
                        "root/.profile": b"",
                        "usr/bin/python3": item("usr/bin/python3", tarfile.SYMTYPE, link="python3.11"),
                        "usr/bin/python3.11": b"",
                        "usr/bin/true": b"",
                        f"{_LIBRARIES}/libc.so.6": b"",
                        f"{_LIBRARIES}/libssl.so.3": b"",
                        "usr/lib/python3.11/__pycache__/os.cpython-311.pyc": b"",
                        "usr/lib/python3.11/os.py": b"",
                        "usr/lib/ssl/openssl.cnf": item(
                            "usr/lib/ssl/openssl.cnf", tarfile.SYMTYPE, link="/etc/ssl/openssl.cnf"
                        ),
                        "usr/local/lib/python3.11/dist-packages": None,
                        "usr/share/zoneinfo/Etc/UTC": b"",
                    }
                ),
                scratch,
            )
        )
    )


def _chosen(tree: Tree, *used: tuple[str, Kind], covered: tuple[str, ...] = ()) -> Choice:
    accesses = [Access(path=path, kinds=frozenset({kind})) for path, kind in used]
    measured = {"/usr/bin/python3.11", f"/{_LIBRARIES}/libc.so.6"}
    return choose(accesses, tree, measured=measured, covered=covered)


def _paths(choice: Choice) -> tuple[list[str], list[str]]:
    return [one.path for one in choice.directories], [one.path for one in choice.in_clear]


def test_whole_directories(tree: Tree) -> None:
    """What is read leads to the directory that it belongs to, once, with a reason that names files."""
    choice = _chosen(
        tree,
        ("/app/server.py", "read"),
        ("/usr/lib/python3.11/__pycache__/os.cpython-311.pyc", "read"),
        ("/usr/lib/python3.11/os.py", "read"),
    )
    assert choice.text().splitlines() == [
        "protected: /app: code that the program loads: server.py",
        "protected: /usr/lib/python3.11: code that the program loads: os.py",
    ]
    assert [one.files for one in choice.directories] == [1, 2]


def test_what_is_measured_needs_nothing(tree: Tree) -> None:
    """The program, its libraries, links to them, and the loader's lists are measured."""
    used = ("/usr/bin/python3", f"/{_LIBRARIES}/libc.so.6", "/lib/x86_64-linux-gnu/libc.so.6", "/etc/ld.so.cache")
    choice = _chosen(tree, *((path, "read") for path in used), ("/etc/ld.so.preload", "missing"))
    assert _paths(choice) == ([], [])


def test_libraries_that_are_loaded_later(tree: Tree) -> None:
    """A library that the program opens by itself has its directory protected, as it is without links."""
    choice = _chosen(tree, ("/lib/x86_64-linux-gnu/libssl.so.3", "read"))
    assert choice.text() == (
        f"protected: /{_LIBRARIES}: libraries that are loaded while the program runs: libssl.so.3"
    )


def test_every_link_on_the_way(tree: Tree) -> None:
    """Who changes a link changes what is read, so the places of both are told."""
    assert _paths(_chosen(tree, ("/usr/lib/ssl/openssl.cnf", "read"))) == (["/etc/ssl", "/usr/lib/ssl"], [])
    assert _paths(_chosen(tree, ("/etc/localtime", "read"))) == (["/usr/share/zoneinfo"], ["/etc/localtime"])


def test_shared_directories_stay_in_clear(tree: Tree) -> None:
    """Programs and settings that all share are told with the option that protects them."""
    choice = _chosen(tree, ("/usr/bin/true", "execute"), ("/etc/mime.types", "read"), ("/etc/hosts", "read"))
    assert choice.directories == ()
    told = {one.path: one.reason for one in choice.in_clear}
    assert sorted(told) == ["/etc/hosts", "/etc/mime.types", "/usr/bin/true"]
    assert told["/etc/mime.types"] == "a file in a directory that the whole image shares"
    assert "--dir /usr/bin" in told["/usr/bin/true"]
    assert "engine's" in told["/etc/hosts"]


def test_what_is_looked_for_in_vain(tree: Tree) -> None:
    """Where code is looked for, nobody else may put it: a directory that is there is chosen, a shared one is told."""
    choice = _chosen(
        tree,
        ("/usr/local/lib/python3.11/dist-packages", "list"),
        ("/root/.local/lib/python3.11/site-packages", "missing"),
        ("/usr/lib/python311.zip", "missing"),
    )
    assert _paths(choice) == (["/root", "/usr/local/lib/python3.11"], ["/usr/lib"])
    assert "python311.zip, in vain" in choice.in_clear[0].reason


def test_the_kernels_files_are_passed_over(tree: Tree) -> None:
    """Neither they nor what was made while the program ran are of the image."""
    choice = _chosen(tree, ("/proc/self/maps", "read"), ("/dev/null", "write"), ("/sys/fs/cgroup/x", "missing"))
    assert _paths(choice) == ([], [])


def test_what_is_written_is_told(tree: Tree) -> None:
    """What the program writes outside of protected directories is in clear."""
    choice = _chosen(tree, ("/var/log/app.log", "write"), ("/app/state", "write"), ("/app/server.py", "read"))
    assert _paths(choice) == (["/app"], ["/var/log"])
    assert "--volume" in choice.in_clear[0].reason


def test_directories_that_are_covered(tree: Tree) -> None:
    """What the user protects is neither chosen again nor told."""
    used: tuple[tuple[str, Kind], ...] = (
        ("/app/server.py", "read"),
        ("/etc/mime.types", "read"),
        ("/usr/lib/python311.zip", "missing"),
    )
    assert _paths(_chosen(tree, *used, covered=("/app", "/etc", "/usr"))) == ([], [])


def test_names_do_not_forge_lines(tree: Tree) -> None:
    """A name with a line end, or with an escape for terminals, stays on its line."""
    choice = _chosen(tree, ("/usr/lib/a\nprotected: /etc: all\x1b[2J\udcff", "missing"))
    (line,) = choice.text().splitlines()
    assert r"a\nprotected: /etc: all\x1b[2J\xff" in line
