"""What the owner of a CAS asks of it: to be its owner, and to be configured."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from bannock.errors import InputError
from bannock.files import read_bounded

if TYPE_CHECKING:
    from pathlib import Path

    from bannock.remote.cas_api import CasApi
    from bannock.values import Secret

__all__ = ["ConfigFile", "provision", "read_config_file", "update_config"]

_BYTES_MAX: Final = 1 << 20


class _Format(StrEnum):
    TOML = "toml"
    JSON = "json"
    YAML = "yaml"


_SUFFIXES: Final = {".toml": _Format.TOML, ".json": _Format.JSON, ".yaml": _Format.YAML, ".yml": _Format.YAML}


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigFile:
    """A configuration of a CAS by its owner, as it was written; it may hold credentials."""

    text: str
    form: str

    def __repr__(self) -> str:
        return f"ConfigFile({self.form})"


def read_config_file(path: Path) -> ConfigFile:
    """Read a configuration; its suffix tells whether it is TOML, JSON or YAML, and without one it is TOML.

    Raises:
        InputError: it cannot be read, or is not UTF-8 text.
    """
    try:
        text = read_bounded(path, _BYTES_MAX).decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"the configuration {path} is UTF-8 text, byte {error.start} is not") from None
    return ConfigFile(text=text, form=_SUFFIXES.get(path.suffix.lower(), _Format.TOML))


def provision(cas: CasApi, config: ConfigFile, *, token: Secret, database_key: Secret | None) -> None:
    """Become the owner of a CAS.

    Raises:
        BannockError: the CAS is not to be reached, has an owner, or refuses token or configuration.
    """
    request = {"token": token.reveal().decode("ascii"), "config": config.text, "format": config.form}
    if database_key is not None:
        request["database_key"] = database_key.reveal().decode("ascii")
    cas.request_json("POST", "/v1/owner/provision", request)


def update_config(cas: CasApi, config: ConfigFile) -> None:
    """Replace the configuration of a CAS.

    Raises:
        BannockError: the CAS is not to be reached, belongs to somebody else, or refuses the configuration.
    """
    cas.request("PUT", "/v1/owner/config", config.text.encode("utf-8"), f"application/{config.form}")
