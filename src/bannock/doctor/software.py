"""The installation: versions, what it depends on, where its commands are, and what the environment tells it."""

from __future__ import annotations

import platform
import re
import shutil
import ssl
import sys
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bannock import __version__
from bannock.doctor.finding import Finding, State
from bannock.doctor.machine import parsed_version
from bannock.errors import BannockError
from bannock.evidence.modes import mode_of
from bannock.images.engine_socket import EngineSocket
from bannock.net.address import Address

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

__all__ = ["look_at_environment", "look_at_software"]

_PYTHON: Final = (3, 11)
_REQUIREMENT: Final = re.compile(r"([A-Za-z0-9._-]+)(?:\[[^]]*\])?\s*(?:>=\s*([0-9.]+))?")
#: A number that a port never is: whatever names none is fine.
_ANY_PORT: Final = 1


def look_at_software(commands: Sequence[str], environment: Mapping[str, str]) -> Iterator[Finding]:
    """Look at what is installed.

    Args:
        commands: what users type.
        environment: with ``PATH``.
    """
    yield Finding.judged(
        "bannock", f"version {__version__}, Python {platform.python_version()}, {ssl.OPENSSL_VERSION}",
        good=sys.version_info[:2] >= _PYTHON, hint="Python 3.11 or newer is needed", otherwise=State.PROBLEM,
    )  # fmt: skip
    yield _dependencies()
    yield _commands(commands, environment)


def _dependencies() -> Finding:
    wrong, count = [], 0
    for requirement in _requirements():
        match = _REQUIREMENT.match(requirement)
        if match is None or "extra ==" in requirement:
            continue
        count += 1
        name, least = match[1], match[2]
        try:
            found = metadata.version(name)
        except metadata.PackageNotFoundError:
            wrong.append(f"{name} is not installed")
            continue
        if least and parsed_version(found) < parsed_version(least):
            wrong.append(f"{name} {found} is older than {least}")
    return Finding.judged(
        "dependencies", "; ".join(wrong) or f"{count} packages, all of them new enough", good=not wrong,
        hint="install anew: make install, or pip install bannock", otherwise=State.PROBLEM,
    )  # fmt: skip


def _requirements() -> list[str]:
    try:
        return metadata.requires("bannock") or []
    except metadata.PackageNotFoundError:
        # It runs from its sources.
        return []


def _commands(commands: Sequence[str], environment: Mapping[str, str]) -> Finding:
    here = Path(sys.executable).parent
    places = {name: shutil.which(name, path=environment.get("PATH")) for name in commands}
    lacking = [name for name, place in places.items() if place is None]
    elsewhere = [f"{name} is {place}" for name, place in places.items() if place and Path(place).parent != here]
    if not lacking and not elsewhere:
        return Finding(what="commands", state=State.OK, found=f"all in {here}")
    if lacking:
        found = f"not in the path: {', '.join(lacking)}"
        beside = all((here / name).exists() for name in lacking)
        hint = f"export PATH={here}:$PATH" if beside else "install them: make install, or pip install bannock"
        return Finding(what="commands", state=State.WARNING, found=found, hint=hint)
    return Finding.judged(
        "commands", "; ".join(elsewhere), good=len({Path(str(place)).parent for place in places.values()}) == 1,
        hint="commands of several installations are mixed: put one directory first in PATH",
    )  # fmt: skip


def look_at_environment(environment: Mapping[str, str]) -> Iterator[Finding]:
    """Look at the variables that commands read: whether they say something that can be."""
    checks: Mapping[str, Callable[[str], object]] = {
        "SCONE_CAS_ADDR": lambda text: Address.parse(text, default_port=_ANY_PORT),
        "SCONE_LAS_ADDR": _las_address,
        "SCONE_MODE": lambda text: mode_of({"SCONE_MODE": text}),
        "DOCKER_HOST": lambda text: EngineSocket.of({"DOCKER_HOST": text}),
    }
    told = []
    for name, check in checks.items():
        text = environment.get(name, "")
        if not text:
            continue
        try:
            check(text)
        except BannockError as error:
            yield Finding(
                what=name,
                state=State.PROBLEM,
                found=error.message,
                hint=error.hint or f"set it right, or unset {name}",
            )
        else:
            told.append(f"{name}={text}")
    yield Finding(what="environment", state=State.OK, found=", ".join(told) or "no variable says anything else")
    encoding = sys.getfilesystemencoding()
    if encoding.lower() not in {"utf-8", "utf8"}:
        yield Finding(
            what="locale", state=State.WARNING, found=f"names of files are {encoding}", hint="export LC_ALL=C.UTF-8"
        )


def _las_address(text: str) -> None:
    if not text.startswith("unix:"):
        Address.parse(text, default_port=_ANY_PORT)
