"""Applications: a bundle of files, and how they become a session and an enclave.

A bundle is a directory with ``application.yaml``, the template of its session, and the application's own files; in
the enclave it is seen under ``/app``. Bundles that come with Bannock are found by name, others by their path.
"""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Final

import yaml

from bannock.errors import EnvironmentFault, InputError
from bannock.files import read_bounded
from bannock.runtime.settings import enclave_settings

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["ENCLAVE_DIRECTORY", "Application", "install", "is_bundle", "load_application"]

#: Where the enclave sees the bundle.
ENCLAVE_DIRECTORY: Final = Path("/app")

_BUILT_IN: Final = Path(__file__).parent.parent / "applications"
_DESCRIPTION: Final = "application.yaml"
_DOCUMENT_BYTES_MAX: Final = 1 << 20
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_REQUIRED: Final = frozenset({"name", "program", "service", "input", "output", "session"})
_OPTIONAL: Final = frozenset({"copies", "settings"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Application:
    """What a bundle says.

    Attributes:
        name: for people, and the beginning of the names of its sessions.
        directory: of the bundle.
        program: what is measured and run, relative to the bundle.
        service: the service of the session that it is.
        input_volume: the session's volume that holds the inputs.
        output_volume: the session's volume that gets the outputs.
        template: of the session document.
        copies: path in the bundle → program of the machine that is copied there when the bundle is installed.
        settings: ``SCONE_*`` settings that it runs with, which are measured.
    """

    name: str
    directory: Path
    program: PurePosixPath
    service: str
    input_volume: str
    output_volume: str
    template: str
    copies: Mapping[PurePosixPath, Path]
    settings: Mapping[str, str]

    @property
    def enclave_program(self) -> str:
        """Path of the program in the enclave."""
        return str(ENCLAVE_DIRECTORY / self.program)


def is_bundle(reference: str) -> bool:
    """Whether an application is named as bundles are; else it is a container image."""
    if reference.startswith(("/", "./", "../")) or reference in {".", ".."}:
        return True
    return "/" not in reference and (_BUILT_IN / reference / _DESCRIPTION).is_file()


def load_application(reference: str) -> Application:
    """Read a bundle.

    Args:
        reference: the name of a bundle that comes with Bannock, or a path with a slash in it.

    Raises:
        InputError: there is none, or its description is not usable.
    """
    directory = Path(reference) if "/" in reference else _BUILT_IN / reference
    if not (directory / _DESCRIPTION).is_file():
        known = sorted(entry.name for entry in _BUILT_IN.iterdir() if (entry / _DESCRIPTION).is_file())
        raise InputError(
            f"there is no application {reference!r}: {directory / _DESCRIPTION} does not exist",
            hint=f"one of {', '.join(known)}, or ./DIRECTORY of a bundle",
        )
    where = directory / _DESCRIPTION
    description = _read(where)
    if _REQUIRED - description.keys() or description.keys() - _REQUIRED - _OPTIONAL:
        raise InputError(
            f"{where} has the keys {', '.join(sorted(description))}; expected are {', '.join(sorted(_REQUIRED))}, "
            f"and perhaps {', '.join(sorted(_OPTIONAL))}"
        )
    texts = {key: _text(where, key, description[key]) for key in _REQUIRED}
    if not _NAME.fullmatch(texts["name"]):
        raise InputError(f"{where}: name has letters, digits, dots, hyphens, underscores; found {texts['name']!r}")
    template = directory / _inside(where, "session", texts["session"])
    return Application(
        name=texts["name"],
        directory=directory.resolve(),
        program=_inside(where, "program", texts["program"]),
        service=texts["service"],
        input_volume=texts["input"],
        output_volume=texts["output"],
        template=_decoded(template),
        copies={
            _inside(where, "copies", target): Path(source)
            for target, source in _mapping(where, "copies", description).items()
        },
        settings=_settings(where, _mapping(where, "settings", description)),
    )


def install(application: Application, target: Path) -> None:
    """Put a bundle into a new directory, complete with the programs of this machine that it asks for.

    Raises:
        EnvironmentFault: this machine has no such program, or the disk does not take it.
    """
    try:
        shutil.copytree(application.directory, target, symlinks=True)
        for place, source in application.copies.items():
            path = target / place
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, path)
            path.chmod(0o755)
    except (OSError, shutil.Error) as error:
        raise EnvironmentFault(f"cannot install the application {application.name}: {error}") from error


def _read(where: Path) -> dict[str, Any]:
    try:
        description = yaml.safe_load(_decoded(where))
    except (yaml.YAMLError, RecursionError) as error:
        raise InputError(f"{where} is not YAML: {error}") from error
    if not isinstance(description, dict) or not all(isinstance(key, str) for key in description):
        raise InputError(f"{where} is a mapping, found something else")
    return description


def _decoded(path: Path) -> str:
    try:
        return read_bounded(path, _DOCUMENT_BYTES_MAX).decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8") from error


def _text(where: Path, key: str, value: object) -> str:
    if not isinstance(value, str) or not value:
        raise InputError(f"{where}: {key} is a text, found {value!r}")
    return value


def _mapping(where: Path, key: str, description: Mapping[str, Any]) -> dict[str, str]:
    value = description.get(key, {})
    if not isinstance(value, dict):
        raise InputError(f"{where}: {key} is a mapping, found {value!r}")
    return {_text(where, key, name): _text(where, f"{key}.{name}", text) for name, text in value.items()}


def _inside(where: Path, key: str, text: str) -> PurePosixPath:
    path = PurePosixPath(text)
    if path.is_absolute() or ".." in path.parts or path == PurePosixPath():
        raise InputError(f"{where}: {key} is a path inside the bundle, found {text!r}")
    return path


def _settings(where: Path, settings: dict[str, str]) -> dict[str, str]:
    measured = enclave_settings(settings)
    if unknown := sorted(settings.keys() - measured.keys()):
        raise InputError(f"{where}: settings has {', '.join(unknown)}, which no measurement covers")
    return measured
