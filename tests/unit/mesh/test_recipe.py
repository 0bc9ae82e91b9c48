"""How images are built, by kind: the Dockerfile, what goes to the engine, and the command."""

from __future__ import annotations

import io
import tarfile
from typing import TYPE_CHECKING

import pytest

from bannock.errors import InputError
from bannock.mesh.build.context import write_context
from bannock.mesh.build.recipe import Bases, Recipe, recipe_of
from bannock.mesh.manifests import parse_service

if TYPE_CHECKING:
    from pathlib import Path

_MANIFEST = """\
apiVersion: scone/5.8
kind: genservice
build:
  name: service
  to: registry.example.com/service:1
"""


def _recipe(lines: str, bases: Bases = Bases()) -> Recipe:  # noqa: B008 - it does not change
    text = _MANIFEST + "".join(f"  {line}\n" for line in lines.splitlines())
    return recipe_of(parse_service(text).build, bases)


def test_python() -> None:
    """Packages first, then files, then commands: a changed file installs nothing anew."""
    recipe = _recipe(
        "kind: python\ncommand: python3 app.py\npwd: /py\nrequirements: req.txt\ncopy: [app.py, lib]\n"
        "run:\n  - >\n   echo one\n   && echo two\n  - echo three"
    )
    first, work, copy, install, files, *runs = recipe.dockerfile.splitlines()
    assert (first, work) == ("FROM python:3-slim", "WORKDIR /py")
    assert copy == "COPY packages/ /tmp/packages/"
    assert install.endswith("python3 -m pip install --no-cache-dir -r /tmp/packages/requirements.txt")
    assert files == "COPY files/ ./"
    assert runs == ["RUN echo one && echo two", "RUN echo three"]
    assert recipe.packages == {"req.txt": "packages/requirements.txt"}
    assert recipe.command == ("python3", "app.py")


def test_commands_of_several_lines_are_one_line() -> None:
    """Also where YAML keeps the line breaks."""
    recipe = _recipe("kind: python\ncommand: python3 app.py\nrun:\n  - |\n   echo one\n   && echo two")
    assert recipe.dockerfile.splitlines()[-1] == "RUN echo one && echo two"


def test_images_to_build_on() -> None:
    """The manifest's, one of a repository of one's own, or the one that the command line names."""
    lines = "kind: python\ncommand: python3 app.py"
    assert _recipe(lines).bases == ("python:3-slim",)
    assert _recipe(lines, Bases(repository="r.example/x", version="5.8.0")).bases == ("r.example/x/python:5.8.0",)
    assert _recipe(lines, Bases(repository="r.example/x")).bases == ("r.example/x/python:latest",)
    named = f"{lines}\nfrom: base:1"
    assert _recipe(named, Bases(repository="r.example/x")).bases == ("base:1",)
    assert _recipe(named, Bases(given="other:2")).bases == ("other:2",)


def test_node() -> None:
    """Packages are those of the lock file, where there is one."""
    recipe = _recipe("kind: node\ncommand: node server.js\ncopy: [package.json, package-lock.json, server.js]")
    assert recipe.dockerfile.splitlines()[1:] == [
        "WORKDIR /app",
        "COPY packages/ ./",
        "RUN npm ci --omit=dev --no-audit --no-fund",
        "COPY files/ ./",
    ]
    without = _recipe("kind: node\ncommand: node server.js\ncopy: [package.json, server.js]")
    assert "RUN npm install --omit=dev" in without.dockerfile
    assert "npm" not in _recipe("kind: node\ncommand: node server.js\ncopy: [server.js]").dockerfile


def test_java() -> None:
    """Sources are compiled, and the class path is put into the command unless it has one."""
    lines = "kind: java\npwd: /java\ncopy: [main/java/Main.java, lib/one.jar]\ncommand: "
    recipe = _recipe(f"{lines}java main.java.Main word")
    assert recipe.command == ("java", "-cp", "/java:/java/lib/one.jar", "main.java.Main", "word")
    assert recipe.dockerfile.splitlines()[-1] == "RUN javac -cp /java:/java/lib/one.jar main/java/Main.java"
    assert _recipe(f"{lines}java -jar lib/one.jar").command == ("java", "-jar", "lib/one.jar")
    assert _recipe(f"{lines}java -classpath . Main").command == ("java", "-classpath", ".", "Main")


@pytest.mark.parametrize(
    ("kind", "project", "image", "made"),
    [
        ("rust", "Cargo.toml", "rust:slim", "cargo install"),
        ("go", "go.mod", "golang:latest", "go build"),
        ("c", "main.c", "gcc:latest", "cc -O2 -o /bannock-build/hello main.c"),
    ],
)
def test_compiled_languages(kind: str, project: str, image: str, made: str) -> None:
    """A project is compiled in a stage of its own, whose compiler is not in the service's image."""
    recipe = _recipe(f"kind: {kind}\ncommand: ./hello\ncopy: [{project}]")
    stage, program = recipe.dockerfile.split("FROM debian:stable-slim\n")
    assert stage.startswith(f"FROM {image}\nWORKDIR /source\nCOPY files/ ./\nRUN ")
    assert made in stage
    assert program == "WORKDIR /app\nCOPY --from=0 /bannock-build/ ./\n"
    assert recipe.bases == ("debian:stable-slim", image)
    ready = _recipe(f"kind: {kind}\ncommand: ./hello\ncopy: [hello]")
    assert ready.dockerfile == "FROM debian:stable-slim\nWORKDIR /app\nCOPY files/ ./\n"


def test_existing_images() -> None:
    """One is taken as it is, unless something is added to it."""
    recipe = _recipe("kind: image\nfrom: nginx:1\ncommand: nginx")
    assert (recipe.dockerfile, recipe.bases, recipe.directory) == ("", ("nginx:1",), "")
    assert _recipe("kind: sconify_image\nfrom: nginx:1\ncommand: nginx\nrun: echo").dockerfile == (
        "FROM nginx:1\nRUN echo\n"
    )


def test_signs_of_dockerfiles_are_only_signs() -> None:
    """A directory is called what the manifest calls it."""
    assert r"WORKDIR /a\$HOME b" in _recipe("kind: python\ncommand: python3\npwd: /a$HOME b").dockerfile


def _sent(recipe: Recipe, directory: Path) -> dict[str, tarfile.TarInfo]:
    buffer = io.BytesIO()
    write_context(buffer, recipe, directory, without=directory / "target")
    buffer.seek(0)
    with tarfile.open(fileobj=buffer) as tar:
        return {entry.name: entry for entry in tar.getmembers()}


def test_nothing_else_is_sent_to_the_engine(tmp_path: Path) -> None:
    """What the manifest names, without times and owners; links stay links."""
    (tmp_path / "lib" / "below").mkdir(parents=True)
    for name in ("app.py", "secret.key", "lib/one.py", "lib/below/two.py"):
        (tmp_path / name).write_text("x")
    (tmp_path / "app.py").chmod(0o755)
    (tmp_path / "lib" / "link").symlink_to("/etc/passwd")
    sent = _sent(_recipe("kind: python\ncommand: python3 app.py\ncopy: [app.py, lib]"), tmp_path)
    assert list(sent) == [
        "Dockerfile", "files/app.py", "files/lib", "files/lib/below", "files/lib/below/two.py", "files/lib/link",
        "files/lib/one.py",
    ]  # fmt: skip
    assert all((entry.mtime, entry.uid, entry.gid, entry.uname) == (0, 0, 0, "") for entry in sent.values())
    assert (sent["files/app.py"].mode, sent["files/lib/one.py"].mode) == (0o755, 0o644)
    assert sent["files/lib/link"].linkname == "/etc/passwd"


def test_keys_are_never_sent(tmp_path: Path) -> None:
    """The whole directory may be copied, and what is in the target stays here."""
    (tmp_path / "target" / "services").mkdir(parents=True)
    (tmp_path / "target" / "identity.pem").write_text("x")
    (tmp_path / "app.py").write_text("x")
    assert list(_sent(_recipe("kind: python\ncommand: python3 app.py\ncopy: [./]"), tmp_path)) == [
        "Dockerfile",
        "files",
        "files/app.py",
    ]
    with pytest.raises(InputError, match="where keys and secret values are"):
        _sent(_recipe("kind: python\ncommand: python3\ncopy: [target/identity.pem]"), tmp_path)


def test_what_is_missing_or_leads_out_is_refused(tmp_path: Path) -> None:
    """By a link, too."""
    inside = tmp_path / "inside"
    inside.mkdir()
    (tmp_path / "key").write_text("x")
    (inside / "app.py").symlink_to(tmp_path / "key")
    recipe = _recipe("kind: python\ncommand: python3 app.py\ncopy: [app.py]")
    with pytest.raises(InputError, match=r"app\.py leads out of"):
        _sent(recipe, inside)
    (inside / "app.py").unlink()
    with pytest.raises(InputError, match=r"there is no app\.py in"):
        _sent(recipe, inside)
