"""What the owner of a CAS asks of it: to be its owner, to be configured, and to share its data with another CAS."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from bannock.errors import InputError, PeerError
from bannock.files import read_bounded
from bannock.values import KeyHash

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from bannock.net.address import Address
    from bannock.remote.cas_api import CasApi
    from bannock.values import Measurement, Secret

__all__ = [
    "ConfigFile",
    "Registration",
    "provision",
    "read_config_file",
    "register",
    "start_upgrade",
    "update_config",
]

_BYTES_MAX: Final = 1 << 20


class _Format(StrEnum):
    TOML = "toml"
    JSON = "json"
    YAML = "yaml"


class Registration(StrEnum):
    """What a CAS can be to another one; the values are those of the API."""

    BACKUP = "backups"
    UPGRADE = "upgrades"


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


def register(
    cas: CasApi,
    what: Registration,
    other: Address,
    *,
    measurements: Iterable[Measurement],
    key: KeyHash | None,
    machines: str | None = None,
    tolerated: Iterable[str] = (),
) -> KeyHash:
    """Let a CAS attest another one, and make its data readable for that one; give the key of the other one.

    Args:
        cas: the CAS that has the data.
        what: what the other one is to be.
        other: where the client interface of the other one is, as the CAS sees it.
        measurements: what the other one may be; none for the software of the CAS itself.
        key: who the other one has to be; None for any CAS of that software.
        machines: what its machine may be, rules in YAML; None for one that booted what the machine of the CAS did.
        tolerated: weaknesses of its platform that are accepted, beside those of the CAS itself.

    Raises:
        BannockError: the CAS is not to be reached, belongs to somebody else, or refuses the other one.
    """
    request: dict[str, object] = {"address": str(other), "mrenclaves": [str(each) for each in measurements]}
    if key is not None:
        request["cas_key_hash"] = str(key)
    if machines is not None:
        request["machines"] = machines
    if named := sorted(tolerated):
        request["tolerate"] = named
    found = cas.request_json("POST", f"/v1/owner/{what}", request).get("cas_key_hash")
    if not isinstance(found, str):
        raise PeerError("the CAS does not say which CAS it has registered")
    return KeyHash.from_base58(found)


def start_upgrade(cas: CasApi) -> None:
    """Let a CAS put its data under new keys, which only those that were registered for the upgrade get.

    Raises:
        BannockError: the CAS is not to be reached, or belongs to somebody else.
    """
    cas.request("POST", "/v1/owner/upgrade")
