"""How the native image of a service is built: a Dockerfile and the files that it copies. Pure.

The engine builds it from what is the user's own on the user's own machine; protection comes after. Steps are in the
order in which things change: packages, then files, then commands, so that what did not change is not done again.
"""

from __future__ import annotations

import posixpath
import re
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from bannock.mesh.manifests.model import BuildKind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bannock.mesh.manifests.model import Build

__all__ = ["FILES", "Bases", "Recipe", "recipe_of"]

#: Where the files of ``copy`` are in what the engine gets.
FILES: Final = "files"
_PACKAGES: Final = "packages"
_OUT: Final = "/bannock-build"
#: The working directory of what names none.
_DIRECTORY: Final = "/app"
_SIGNS: Final = re.compile(r"[\\$]")
_ESCAPED: Final = r"\\\g<0>"
#: Kind → images of Docker's registry: what runs it, and what makes it where that is another one.
_PUBLIC: Final = {
    BuildKind.PYTHON: ("python:3-slim", None),
    BuildKind.NODE: ("node:lts-slim", None),
    BuildKind.JAVA: ("eclipse-temurin:17", None),
    BuildKind.JAVA17: ("eclipse-temurin:17", None),
    BuildKind.JAVA15: ("openjdk:15-slim", None),
    BuildKind.JAVA8: ("eclipse-temurin:8", None),
    BuildKind.RUST: ("debian:stable-slim", "rust:slim"),
    BuildKind.GO: ("debian:stable-slim", "golang:latest"),
    BuildKind.C: ("debian:stable-slim", "gcc:latest"),
    BuildKind.BINARY: ("debian:stable-slim", None),
}
#: What says that a project is to be compiled.
_PROJECTS: Final = {BuildKind.RUST: "Cargo.toml", BuildKind.GO: "go.mod"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Bases:
    """Where images to build on come from.

    Attributes:
        repository: a registry with an image of each kind, as REPOSITORY/KIND:VERSION; None: those of Docker's own.
        version: tag in the repository.
        given: the image to build on, whatever the kind; None: as the manifest says, else by kind.
    """

    repository: str | None = None
    version: str | None = None
    given: str | None = None

    def base_of(self, build: Build) -> str:
        """Return the image that a service is built on."""
        if self.given or build.from_:
            return self.given or build.from_ or ""
        runs, _ = _PUBLIC[build.kind]
        return self._image(build.kind.value, runs)

    def builder_of(self, build: Build) -> str | None:
        """Return the image that a program is compiled in; None where nothing is compiled."""
        _, makes = _PUBLIC.get(build.kind, ("", None))
        if makes is None or not _is_project(build):
            return None
        return self._image(f"{build.kind.value}-build", makes)

    def _image(self, name: str, public: str) -> str:
        return f"{self.repository}/{name}:{self.version or 'latest'}" if self.repository else public


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How an image is built.

    Attributes:
        dockerfile: the steps; empty where the image is taken as it is.
        packages: files that say which packages are installed: path beside the manifest → path in the context.
        files: paths beside the manifest that are copied, to the same paths below :data:`FILES`.
        bases: images that it is built on.
        directory: working directory; empty for that of the image.
        command: what is started.
    """

    dockerfile: str
    packages: dict[str, str]
    files: tuple[str, ...]
    bases: tuple[str, ...]
    directory: str
    command: tuple[str, ...]


def recipe_of(build: Build, bases: Bases) -> Recipe:
    """Give the recipe of a service."""
    base, builder = bases.base_of(build), bases.builder_of(build)
    directory = build.pwd or ("" if build.kind.is_image else _DIRECTORY)
    packages = _packages_of(build)
    command = tuple(shlex.split(build.command))
    if build.kind.is_java:
        command = _with_class_path(command, build, directory)
    if build.kind.is_image and not (build.copy or build.run or directory):
        return Recipe(dockerfile="", packages={}, files=(), bases=(base,), directory="", command=command)
    lines = [*_compiled(build, builder), f"FROM {base}"]
    if directory:
        # Dollars and backslashes are signs of Dockerfiles.
        lines.append(f"WORKDIR {_SIGNS.sub(_ESCAPED, directory)}")
    lines += _installed(build, packages)
    if builder is not None:
        lines.append(f"COPY --from=0 {_OUT}/ ./")
    elif build.copy:
        lines.append(f"COPY {FILES}/ ./")
    if build.kind.is_java and (sources := [path for path in build.copy if path.endswith(".java")]):
        lines.append(f"RUN javac -cp {shlex.quote(_class_path(build, directory))} {shlex.join(sources)}")
    lines += [f"RUN {_one_line(command)}" for command in build.run]
    return Recipe(
        dockerfile="\n".join([*lines, ""]),
        packages=packages,
        files=build.copy,
        bases=(base,) if builder is None else (base, builder),
        directory=directory,
        command=command,
    )


def _is_project(build: Build) -> bool:
    if build.kind is BuildKind.C:
        return any(path.endswith(".c") for path in build.copy)
    return _PROJECTS.get(build.kind) in build.copy


def _compiled(build: Build, builder: str | None) -> list[str]:
    """Give the stage that a program is compiled in, apart, so that no compiler is in the service's image."""
    if builder is None:
        return []
    name = posixpath.basename(shlex.split(build.command)[0])
    program = shlex.quote(f"{_OUT}/{name}")
    sources = shlex.join(path for path in build.copy if path.endswith(".c"))
    make = {
        BuildKind.RUST: f"cargo install --locked --path . --root /made && mkdir {_OUT} && cp /made/bin/* {_OUT}/",
        BuildKind.GO: f"mkdir {_OUT} && go build -trimpath -o {program} .",
        BuildKind.C: f"mkdir {_OUT} && cc -O2 -o {program} {sources}",
    }[build.kind]
    return [f"FROM {builder}", "WORKDIR /source", f"COPY {FILES}/ ./", f"RUN {make}"]


def _packages_of(build: Build) -> dict[str, str]:
    if build.requirements is not None:
        return {build.requirements: f"{_PACKAGES}/requirements.txt"}
    if build.kind is BuildKind.NODE and "package.json" in build.copy:
        named = [path for path in ("package.json", "package-lock.json") if path in build.copy]
        return {path: f"{_PACKAGES}/{path}" for path in named}
    return {}


def _installed(build: Build, packages: dict[str, str]) -> list[str]:
    if build.requirements is not None:
        # Distributions keep pip from their own packages; in an image that is made for one service, it may go there.
        pip = "PIP_BREAK_SYSTEM_PACKAGES=1 PIP_ROOT_USER_ACTION=ignore PIP_DISABLE_PIP_VERSION_CHECK=1 python3 -m pip"
        return [
            f"COPY {_PACKAGES}/ /tmp/{_PACKAGES}/",
            f"RUN {pip} install --no-cache-dir -r /tmp/{_PACKAGES}/requirements.txt",
        ]
    if packages:
        install = "npm ci" if "package-lock.json" in packages else "npm install"
        return [f"COPY {_PACKAGES}/ ./", f"RUN {install} --omit=dev --no-audit --no-fund"]
    return []


def _one_line(command: str) -> str:
    """Give a command of several lines as one, as a manifest says that it is."""
    return " ".join(line.strip() for line in command.strip().splitlines())


def _class_path(build: Build, directory: str) -> str:
    jars = [posixpath.join(directory, path) for path in build.copy if path.endswith(".jar")]
    return ":".join([directory, *jars])


def _with_class_path(command: Sequence[str], build: Build, directory: str) -> tuple[str, ...]:
    """Put the class path behind ``java``, unless the command has one."""
    given = {"-cp", "-classpath", "--class-path", "-jar"} & set(command)
    if given or posixpath.basename(command[0]) != "java":
        return tuple(command)
    return (command[0], "-cp", _class_path(build, directory), *command[1:])
