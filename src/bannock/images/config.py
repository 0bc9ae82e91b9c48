"""The configuration of an image: what a container of it runs, and how its layers came to be.

Fields that are not known here are kept as they are. Pure.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, Final, Self

from bannock.errors import InputError
from bannock.images.digests import parse_digest
from bannock.images.fields import Fields, parse_object

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Config", "History"]

_WHAT: Final = "the configuration of the image"
#: What Docker kept of the container of the last build step; it says nothing of the image, and may hold secrets.
_OF_THE_BUILD: Final = ("container", "container_config", "docker_version")


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """One step of the build; it made the next layer unless ``empty_layer``."""

    created: str = ""
    created_by: str = ""
    author: str = ""
    comment: str = ""
    empty_layer: bool = False

    @classmethod
    def parse(cls, value: object) -> Self:
        """Read an entry.

        Raises:
            InputError: it is malformed.
        """
        entry = Fields(value, f"{_WHAT}: an entry of its history")
        return cls(
            created=entry.text("created"),
            created_by=entry.text("created_by"),
            author=entry.text("author"),
            comment=entry.text("comment"),
            empty_layer=entry.flag("empty_layer"),
        )

    def to_json(self) -> dict[str, object]:
        """Give the entry as a configuration has it."""
        return {item.name: value for item in fields(self) if (value := getattr(self, item.name))}


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """A configuration.

    Attributes:
        diff_ids: digests of the layers' tars, the lowest first.
        env: names and values, in their order.
        shell: the shell of ``RUN`` and of commands that are one text.
        healthcheck: what the engine runs now and then; None for nothing.
        on_build: instructions for images built on this one.
        raw: the document it was read from.
    """

    os: str = "linux"
    architecture: str = "amd64"
    created: str = ""
    author: str = ""
    entrypoint: tuple[str, ...] = ()
    cmd: tuple[str, ...] = ()
    env: tuple[tuple[str, str], ...] = ()
    working_dir: str = ""
    user: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    volumes: tuple[str, ...] = ()
    exposed_ports: tuple[str, ...] = ()
    stop_signal: str = ""
    shell: tuple[str, ...] = ()
    healthcheck: Mapping[str, Any] | None = None
    on_build: tuple[str, ...] = ()
    diff_ids: tuple[str, ...] = ()
    history: tuple[History, ...] = ()
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Read a configuration.

        Raises:
            InputError: it is malformed.
        """
        document = Fields(parse_object(data, _WHAT), _WHAT)
        started = Fields(document.values.get("config"), f"{_WHAT}: config")
        rootfs = Fields(document.values.get("rootfs"), f"{_WHAT}: rootfs")
        if rootfs.text("type", "layers") != "layers":
            raise InputError(
                f"{_WHAT}: the kind of its root file system is {rootfs.text('type')[:40]!r}, not 'layers'"
            )
        healthcheck = started.values.get("Healthcheck")
        return cls(
            os=document.text("os", "linux"),
            architecture=document.text("architecture", "amd64"),
            created=document.text("created"),
            author=document.text("author"),
            entrypoint=started.texts("Entrypoint"),
            cmd=started.texts("Cmd"),
            env=tuple((name, value) for name, _, value in (item.partition("=") for item in started.texts("Env"))),
            working_dir=started.text("WorkingDir"),
            user=started.text("User"),
            labels=started.mapping("Labels"),
            volumes=started.names("Volumes"),
            exposed_ports=started.names("ExposedPorts"),
            stop_signal=started.text("StopSignal"),
            shell=started.texts("Shell"),
            healthcheck=None if healthcheck is None else Fields(healthcheck, f"{_WHAT}: Healthcheck").values,
            on_build=started.texts("OnBuild"),
            diff_ids=tuple(parse_digest(item) for item in rootfs.items("diff_ids")),
            history=tuple(History.parse(item) for item in document.items("history")),
            raw=document.values,
        )

    def changed(self, **changes: Any) -> Self:
        """Give a copy with other values in some fields.

        Raises:
            InputError: the history says of more or fewer layers than there are.
        """
        changed = replace(self, **changes)
        told = sum(not entry.empty_layer for entry in changed.history)
        if changed.history and "diff_ids" in changes and told != len(changed.diff_ids):
            raise InputError(f"the history of the image has {told} layers, the image has {len(changed.diff_ids)}")
        return changed

    def to_bytes(self) -> bytes:
        """Write the configuration, without what Docker kept of the build; the same each time."""
        document = {name: value for name, value in self.raw.items() if name not in _OF_THE_BUILD}
        document |= {"architecture": self.architecture, "os": self.os}
        _put(document, "created", self.created)
        _put(document, "author", self.author)
        started = dict(document.get("config") or {})
        _put(started, "User", self.user)
        _put(started, "ExposedPorts", {name: {} for name in self.exposed_ports})
        _put(started, "Env", [f"{name}={value}" for name, value in self.env])
        _put(started, "Entrypoint", list(self.entrypoint))
        _put(started, "Cmd", list(self.cmd))
        _put(started, "Volumes", {name: {} for name in self.volumes})
        _put(started, "WorkingDir", self.working_dir)
        _put(started, "Labels", dict(self.labels))
        _put(started, "StopSignal", self.stop_signal)
        _put(started, "Shell", list(self.shell))
        _put(started, "Healthcheck", dict(self.healthcheck) if self.healthcheck is not None else None)
        _put(started, "OnBuild", list(self.on_build))
        document["config"] = started
        document["rootfs"] = {"type": "layers", "diff_ids": list(self.diff_ids)}
        _put(document, "history", [entry.to_json() for entry in self.history])
        return json.dumps(document, separators=(",", ":")).encode("utf-8")


def _put(target: dict[str, Any], name: str, value: object) -> None:
    """Set a field, or take it away where there is nothing to say."""
    if value:
        target[name] = value
    else:
        target.pop(name, None)
