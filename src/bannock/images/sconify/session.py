"""The session of a protected image: a template with what is known now, and the user's hooks put in. Pure.

A template is YAML text. ``$NAME`` and ``${NAME}`` of the names that are listed here are replaced, wherever they stand;
every value is one of JSON, which YAML takes as it is. The hooks ``$SECRETS`` and ``$INJECTED_FILES`` stand on lines of
their own, and are replaced by parts of a document as they are, at the column of the hook.
"""

from __future__ import annotations

import json
import re
import textwrap
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from bannock.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bannock.images.sconify.options import SconifyOptions
    from bannock.images.sconify.protection import ProtectionFileOfImage
    from bannock.values import Measurement

__all__ = ["HOOKS", "TEMPLATE", "VALUES", "Started", "session_text"]

#: The template that is used unless another one is named.
TEMPLATE: Final = """\
name: $SESSION
version: "0.3.11"

services:
  - name: $SERVICE
    image_name: $SERVICE_IMAGE
    $ATTESTATION
    command: $COMMAND
    environment: $ENVIRONMENT
    pwd: $PWD
    $FSPF

images:
  - name: $SERVICE_IMAGE
    volumes: $IMAGE_VOLUMES
    $INJECTED_FILES

volumes: $VOLUMES

$SECRETS

security:
  attestation: $SECURITY_ATTESTATION
"""
HOOKS: Final = ("SECRETS", "INJECTED_FILES")
VALUES: Final = (
    "SESSION", "SERVICE", "SERVICE_IMAGE", "MRENCLAVE", "COMMAND", "ENVIRONMENT", "PWD", "FSPF_PATH", "FSPF_KEY",
    "FSPF_TAG", "IMAGE_VOLUMES", "VOLUMES", "SECURITY_ATTESTATION", "TOLERATE", "IMAGE",
)  # fmt: skip
#: What is several keys of a mapping, or none.
_PARTS: Final = ("ATTESTATION", "FSPF")
_BLOCK: Final = re.compile(
    r"^([ \t]*)\$(?:\{(?P<braced>[A-Z_]+)\}|(?P<plain>[A-Z_]+))[ \t]*$", re.MULTILINE
)  # fmt: skip
_NAME: Final = re.compile(r"(?<!\$)\$(?:\{([A-Z_]+)\}|([A-Z_]+))(?![A-Za-z0-9_])")


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """What a session says of how the program starts.

    Attributes:
        image: what the protected image is called.
        command, environment, directory: of the program.
        measurement: of the enclave.
        protection: the main protection file, and where it is in the image.
        protection_path: likewise.
    """

    image: str
    command: tuple[str, ...]
    environment: Mapping[str, str]
    directory: str
    measurement: Measurement
    protection: ProtectionFileOfImage | None
    protection_path: str


def session_text(options: SconifyOptions, started: Started, hooks: Mapping[str, str], template: str = TEMPLATE) -> str:
    """Put everything in.

    Args:
        options: what is asked for.
        started: what was found out.
        hooks: ``SECRETS`` and ``INJECTED_FILES``, as the user has them.
        template: the document.

    Raises:
        InputError: a hook is given, and the template has no place for it.
    """
    for name in HOOKS:
        if hooks.get(name, "").strip() and not any(
            name in (m["braced"], m["plain"]) for m in _BLOCK.finditer(template)
        ):
            raise InputError(
                f"{name} is set, and the template has no line for it",
                hint=f"put ${name} on a line of its own where it belongs",
            )
    parts = {name: hooks.get(name, "") for name in HOOKS} | _parts(options, started)

    def block(match: re.Match[str]) -> str:
        name = match["braced"] or match["plain"]
        if name not in parts:
            return match[0]
        return textwrap.indent(_dedented(parts[name]), match[1]) if parts[name].strip() else ""

    values = {name: json.dumps(value, ensure_ascii=False) for name, value in _values(options, started).items()}
    # What stands in a hook is not looked at again: secrets are named by $$SCONE::NAME$$ there.
    pieces = []
    position = 0
    for match in _BLOCK.finditer(template):
        pieces += [_filled(template[position : match.start()], values), _filled_block(match, block, values)]
        position = match.end()
    return "".join([*pieces, _filled(template[position:], values)])


def _filled_block(match: re.Match[str], block: Any, values: Mapping[str, str]) -> str:
    name = match["braced"] or match["plain"]
    return _filled(match[0], values) if name in values else str(block(match))


def _filled(text: str, values: Mapping[str, str]) -> str:
    return _NAME.sub(lambda match: values.get(match[1] or match[2], match[0]), text)


def _dedented(text: str) -> str:
    """Take away the indentation that all lines have; the first one may have lost its own to a shell."""
    lines = text.strip("\n").expandtabs().splitlines()
    return textwrap.dedent("\n".join(lines)).rstrip()


def _parts(options: SconifyOptions, started: Started) -> dict[str, str]:
    """Return the parts that are several keys of a mapping, or none."""
    attestation = (
        "" if options.any_service else f"attestation: {json.dumps([{'mrenclave': [str(started.measurement)]}])}"
    )
    protection = ""
    if started.protection is not None:
        protection = "\n".join(
            f"{key}: {json.dumps(value)}"
            for key, value in {
                "fspf_path": started.protection_path,
                "fspf_key": started.protection.key.reveal_hex(),
                "fspf_tag": str(started.protection.tag),
                "fspf_update_policy": "ephemeral",
            }.items()
        )
    return {"ATTESTATION": attestation, "FSPF": protection}


def _values(options: SconifyOptions, started: Started) -> dict[str, Any]:
    security: dict[str, Any] = {"mode": "none"} if options.any_service else {}
    if options.azure is not None:
        security |= {"mode": "maa", "url": options.azure}
    if options.tolerate:
        security["tolerate"] = list(options.tolerate)
    if "outdated-tcb" in options.tolerate:
        security["ignore_advisories"] = "*"
    protection = started.protection
    return {
        "SESSION": options.session,
        "SERVICE": options.service,
        "SERVICE_IMAGE": f"{options.service}_image",
        "IMAGE": started.image,
        "MRENCLAVE": str(started.measurement),
        "COMMAND": list(started.command),
        "ENVIRONMENT": dict(started.environment),
        "PWD": started.directory,
        "FSPF_PATH": started.protection_path if protection else "",
        "FSPF_KEY": protection.key.reveal_hex() if protection else "",
        "FSPF_TAG": str(protection.tag) if protection else "",
        "IMAGE_VOLUMES": [{"name": volume.name, "path": volume.path} for volume in options.volumes],
        "VOLUMES": [_volume(volume.name, volume.source, volume.targets) for volume in options.volumes],
        "SECURITY_ATTESTATION": security,
        "TOLERATE": list(options.tolerate),
    }


def _volume(name: str, source: str | None, targets: tuple[str, ...]) -> dict[str, Any]:
    volume: dict[str, Any] = {"name": name}
    if source is not None:
        volume["import"] = {"session": source, "volume": name}
    if targets:
        volume["export"] = [{"session": target} for target in targets]
    return volume
