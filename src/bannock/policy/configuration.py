"""Configuration: all that an attested enclave gets from its session, and the JSON it travels in.

Pure, and light to import: a runtime reads it at start-up without the session language. The JSON holds secrets; it
belongs into the attested TLS connection and nowhere else. Unknown fields are refused: a runtime that does not
know a part of its configuration must not run without it.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Final, NoReturn, Self

from bannock.errors import InputError, PeerError
from bannock.policy.canonical import JsonValue, canonical_json
from bannock.policy.credentials import RaTlsFiles, TokenFile
from bannock.policy.host_arguments import require_host_arguments
from bannock.values import FspfKey, FspfTag, Secret

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "CONFIGURATION_BYTES_MAX",
    "Configuration",
    "InjectedFile",
    "MainFspf",
    "UpdatePolicy",
    "VolumeMount",
    "require_path",
]

FORMAT: Final = "bannock-configuration-1"
#: A session has at most 1 MiB of text; placeholders may repeat a secret many times, hence the room.
CONFIGURATION_BYTES_MAX: Final = 16 * 1024 * 1024
#: PATH_MAX of Linux; a longer path cannot be opened.
PATH_CHARACTERS_MAX: Final = 4096
MODE_MAX: Final = 0o777

_MEMBERS: Final = (
    "format",
    "argv",
    "environment",
    "working_directory",
    "volumes",
    "files",
    "fspf",
    "host_arguments",
    "host_environment",
    "attestation_token",
    "ra_tls",
)
_HEX: Final = re.compile(r"(?:[0-9a-f]{2})+")


def require_path(path: str) -> None:
    """Accept an absolute path in its one plain spelling.

    Raises:
        InputError: it is relative, too long, ends in ``/``, or has an empty, ``.`` or ``..`` part or a NUL byte.
    """
    parts = path.split("/")
    plain = path == "/" or (parts[0] == "" and not {"", ".", ".."} & set(parts[1:]))
    if not plain or "\0" in path or len(path) > PATH_CHARACTERS_MAX:
        raise InputError(f"a path is absolute and without '.', '..' and '//', found {path[:80]!r}")


class UpdatePolicy(StrEnum):
    """What becomes of new states of a protected file system.

    ``ROLLBACK_PROTECTED``: one line of states, of which the last is accepted. ``EPHEMERAL``: changes are forgotten.
    ``NO_ROLLBACK_PROTECTION``: any authentic state is accepted. ``REINITIALIZABLE``, of main protection files alone:
    the first state is accepted beside the last one.
    """

    ROLLBACK_PROTECTED = "rollback_protected"
    EPHEMERAL = "ephemeral"
    NO_ROLLBACK_PROTECTION = "no_rollback_protection"
    REINITIALIZABLE = "rollback_protected_reinitializable"


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeMount:
    """A volume and where the application sees it.

    ``tag`` is the state that was confirmed last, and None where it has not been initialised yet. No other is accepted,
    but with ``NO_ROLLBACK_PROTECTION``: then the tag is a note, and any authentic state will do, or none.
    """

    name: str
    path: str
    key: FspfKey
    tag: FspfTag | None
    update_policy: UpdatePolicy = UpdatePolicy.ROLLBACK_PROTECTED

    def __post_init__(self) -> None:
        require_path(self.path)
        if self.update_policy is UpdatePolicy.REINITIALIZABLE:
            raise InputError(f"the update policy {self.update_policy} is not for volumes")


@dataclass(frozen=True, slots=True, kw_only=True)
class MainFspf:
    """The main protection file of a service: where it is, and the states that are accepted.

    No state is named where every one is accepted, which ``NO_ROLLBACK_PROTECTION`` alone allows.
    ``key`` None: it is not encrypted, which a session never says.
    """

    path: str
    key: FspfKey | None
    tags: tuple[FspfTag, ...]
    update_policy: UpdatePolicy = UpdatePolicy.REINITIALIZABLE

    def __post_init__(self) -> None:
        require_path(self.path)
        if self.update_policy is UpdatePolicy.ROLLBACK_PROTECTED:
            raise InputError(f"the update policy {self.update_policy} is not for main protection files")
        if not self.tags and self.update_policy is not UpdatePolicy.NO_ROLLBACK_PROTECTION:
            raise InputError(f"a protection file with update policy {self.update_policy} has a state that is expected")


@dataclass(frozen=True, slots=True, kw_only=True)
class InjectedFile:
    """A file that exists in the enclave alone, with secrets in place of their placeholders.

    ``content`` None: it is the file that is at the path, and the runtime asks for the secrets that it names.
    """

    path: str
    content: Secret | None
    mode: int

    def __post_init__(self) -> None:
        require_path(self.path)
        if not 0 <= self.mode <= MODE_MAX:
            raise InputError(f"the mode of {self.path} is from 0 to 0o777, found {self.mode:#o}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """What one service runs with. Arguments and environment hold secrets too, so ``repr`` shows neither.

    Attributes:
        argv: the program and its arguments; nothing for the measured program alone.
        host_arguments: indexes of the words of ``argv`` that are left to the host, ``@@1`` or ``@@*``.
        host_environment: names of the variables that are left to the host.
        attestation_token, ra_tls: files by which the service shows others what it is.
    """

    argv: tuple[str, ...] = field(repr=False)
    environment: Mapping[str, str] = field(repr=False)
    working_directory: str
    volumes: tuple[VolumeMount, ...] = ()
    files: tuple[InjectedFile, ...] = ()
    fspf: MainFspf | None = None
    host_arguments: tuple[int, ...] = ()
    host_environment: tuple[str, ...] = ()
    attestation_token: TokenFile | None = None
    ra_tls: RaTlsFiles | None = None

    def __post_init__(self) -> None:
        require_path(self.working_directory)
        if self.argv and not self.argv[0]:
            raise InputError("a configuration names the program to run")
        if any("\0" in text for text in (*self.argv, *self.environment.values())):
            raise InputError("an argument or environment value holds a NUL byte")
        variables = [*self.environment, *self.host_environment]
        if any(not name or "=" in name or "\0" in name for name in variables):
            raise InputError("the name of an environment variable is not empty and holds neither '=' nor NUL")
        _require_distinct("environment variable", variables)
        require_host_arguments(self.argv, self.host_arguments)
        _require_distinct("volume", [volume.name for volume in self.volumes])
        for path in self.made_files:
            require_path(path)
        mounted = [volume.path for volume in self.volumes]
        paths = [*mounted, *(file.path for file in self.files), *self.made_files]
        _require_distinct("path", paths)

    @property
    def made_files(self) -> tuple[str, ...]:
        """Paths of the files that the runtime makes and renews."""
        token, tls = self.attestation_token, self.ra_tls
        return (*((token.path,) if token else ()), *((tls.certificate, tls.private_key) if tls else ()))

    def to_json(self) -> bytes:
        """Serialise as canonical JSON; the result is secret."""
        volumes: list[JsonValue] = [
            {
                "name": volume.name,
                "path": volume.path,
                "key": volume.key.reveal_hex(),
                "tag": None if volume.tag is None else str(volume.tag),
                "update_policy": volume.update_policy.value,
            }
            for volume in self.volumes
        ]
        files: list[JsonValue] = [
            {
                "path": file.path,
                "content": None if file.content is None else base64.b64encode(file.content.reveal()).decode("ascii"),
                "mode": file.mode,
            }
            for file in self.files
        ]
        return canonical_json(
            {
                "format": FORMAT,
                "argv": list(self.argv),
                "environment": dict(self.environment),
                "working_directory": self.working_directory,
                "volumes": volumes,
                "files": files,
                "fspf": None if self.fspf is None else _fspf_to_json(self.fspf),
                "host_arguments": list(self.host_arguments),
                "host_environment": list(self.host_environment),
                "attestation_token": None if self.attestation_token is None else asdict(self.attestation_token),
                "ra_tls": None if self.ra_tls is None else asdict(self.ra_tls),
            }
        )

    @classmethod
    def from_json(cls, data: bytes) -> Self:
        """Parse what :meth:`to_json` gives; key order and white space are free, all else is not.

        Raises:
            PeerError: it is anything else; the message repeats no value.
        """
        if len(data) > CONFIGURATION_BYTES_MAX:
            _refuse(f"it has {len(data)} bytes, at most {CONFIGURATION_BYTES_MAX} are allowed")
        try:
            document = json.loads(
                data.decode("utf-8"),
                object_pairs_hook=_object,
                parse_constant=_refuse_number,
                parse_float=_refuse_number,
            )
        except (ValueError, RecursionError):
            _refuse("it is not JSON")
        fields = _fields(document, *_MEMBERS)
        if fields["format"] != FORMAT:
            _refuse(f"its format is not {FORMAT}")
        try:
            return cls(
                argv=tuple(_text(item) for item in _list(fields["argv"])),
                environment={name: _text(value) for name, value in _mapping(fields["environment"]).items()},
                working_directory=_text(fields["working_directory"]),
                volumes=tuple(_volume(item) for item in _list(fields["volumes"])),
                files=tuple(_file(item) for item in _list(fields["files"])),
                fspf=None if fields["fspf"] is None else _fspf(fields["fspf"]),
                host_arguments=tuple(_number(item) for item in _list(fields["host_arguments"])),
                host_environment=tuple(_text(item) for item in _list(fields["host_environment"])),
                attestation_token=None if fields["attestation_token"] is None else _token(fields["attestation_token"]),
                ra_tls=None if fields["ra_tls"] is None else _ra_tls(fields["ra_tls"]),
            )
        except InputError as error:
            _refuse(error.message)


def _volume(item: object) -> VolumeMount:
    fields = _fields(item, "name", "path", "key", "tag", "update_policy")
    tag = fields["tag"]
    return VolumeMount(
        name=_text(fields["name"]),
        path=_text(fields["path"]),
        key=FspfKey(_hex(fields["key"])),
        tag=None if tag is None else FspfTag(_hex(tag)),
        update_policy=_update_policy(fields["update_policy"]),
    )


def _fspf(item: object) -> MainFspf:
    fields = _fields(item, "path", "key", "tags", "update_policy")
    return MainFspf(
        path=_text(fields["path"]),
        key=FspfKey(_hex(fields["key"])),
        tags=tuple(FspfTag(_hex(tag)) for tag in _list(fields["tags"])),
        update_policy=_update_policy(fields["update_policy"]),
    )


def _fspf_to_json(fspf: MainFspf) -> JsonValue:
    if fspf.key is None:
        raise InputError("a protection file that is not encrypted is not for a session")
    return {
        "path": fspf.path,
        "key": fspf.key.reveal_hex(),
        "tags": [str(tag) for tag in fspf.tags],
        "update_policy": fspf.update_policy.value,
    }


def _update_policy(item: object) -> UpdatePolicy:
    try:
        return UpdatePolicy(_text(item))
    except ValueError:
        _refuse("there is no such update policy")


def _file(item: object) -> InjectedFile:
    fields = _fields(item, "path", "content", "mode")
    content = None if fields["content"] is None else _base64(fields["content"])
    return InjectedFile(path=_text(fields["path"]), content=content, mode=_number(fields["mode"]))


def _token(item: object) -> TokenFile:
    fields = _fields(item, "path", "audience", "lifetime")
    path, audience = _text(fields["path"]), _text(fields["audience"])
    return TokenFile(path=path, audience=audience, lifetime=_number(fields["lifetime"]))


def _ra_tls(item: object) -> RaTlsFiles:
    fields = _fields(item, "certificate", "private_key", "lifetime")
    certificate, key = _text(fields["certificate"]), _text(fields["private_key"])
    return RaTlsFiles(certificate=certificate, private_key=key, lifetime=_number(fields["lifetime"]))


def _base64(item: object) -> Secret:
    try:
        return Secret(base64.b64decode(_text(item).encode("ascii"), validate=True))
    except (binascii.Error, UnicodeEncodeError):
        _refuse("the content of a file is not base64")


def _number(item: object) -> int:
    if type(item) is not int:
        _refuse("a whole number was expected")
    return item


def _fields(item: object, *names: str) -> dict[str, object]:
    """Take an object that has exactly these fields."""
    fields = _mapping(item)
    if set(fields) != set(names):
        _refuse(f"an object does not have exactly the fields {', '.join(names)}")
    return fields


def _mapping(item: object) -> dict[str, object]:
    if not isinstance(item, dict):
        _refuse("an object was expected")
    return item


def _list(item: object) -> list[object]:
    if not isinstance(item, list):
        _refuse("a list was expected")
    return item


def _text(item: object) -> str:
    if not isinstance(item, str):
        _refuse("text was expected")
    try:
        item.encode("utf-8")
    except UnicodeEncodeError:
        _refuse("text holds a lone surrogate")
    return item


def _hex(item: object) -> bytes:
    text = _text(item)
    if not _HEX.fullmatch(text):
        _refuse("lower-case hexadecimal digits were expected")
    return bytes.fromhex(text)


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) != len(pairs):
        _refuse("a key occurs twice")
    return members


def _refuse_number(_text_of_number: str) -> NoReturn:
    _refuse("it holds a number that is not whole")


def _refuse(why: str) -> NoReturn:
    raise PeerError(f"the configuration is malformed: {why}")


def _require_distinct(what: str, names: list[str]) -> None:
    if len(set(names)) != len(names):
        raise InputError(f"{what} {max(names, key=names.count)[:80]!r} occurs twice")
