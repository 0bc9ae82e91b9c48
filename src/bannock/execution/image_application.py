"""Applications that are container images: what an image says of itself, and what has to be attested of it.

Nothing of an image is run to find that out: it is read from its layers. Which image it is, the client decides; a host
that runs another one is refused by the CAS, because it would have another measurement.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, Final

import yaml

from bannock.errors import BannockError, InputError
from bannock.execution.job import harmless
from bannock.identity.layout import BUILD_FILE, LAUNCHER, LAYER_ROOT, original_path
from bannock.identity.runtime_build import runtime_build
from bannock.images.originals import measured_program
from bannock.images.tree import Tree
from bannock.policy.parse import parse_session
from bannock.policy.session import ExplicitKey
from bannock.runtime.settings import enclave_settings
from bannock.values import FspfKey

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bannock.identity.tree import MeasurementTree
    from bannock.images.model import Image
    from bannock.policy.session import Session
    from bannock.policy.template import Template

__all__ = ["OWN_VARIABLES", "PLACE", "ImageApplication", "ImageFacts", "application_of", "facts_of", "placeholders"]

#: Where an image has its description and the template of its session.
PLACE: Final = PurePosixPath(f"{LAYER_ROOT}/application")
_DESCRIPTION: Final = str(PLACE / "application.yaml")
_CARRIER: Final = f"{LAYER_ROOT}/bin/carry"
_DOCUMENT_BYTES_MAX: Final = 1 << 20
_BUILD_BYTES_MAX: Final = 1 << 10
_REQUIRED: Final = frozenset({"name", "program", "service", "input", "output", "session"})
_OPTIONAL: Final = frozenset({"settings"})
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_NOT_IN_A_NAME: Final = re.compile(r"[^A-Za-z0-9]+")
_TITLE_CHARACTERS: Final = 40
_KIND: Final = re.compile(r"^(?:docker-daemon:|docker://|oci:|oci-archive:|docker-archive:)")
_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_MEASUREMENT: Final = re.compile(r"(?<!\$)\$(?:MRENCLAVE\b|\{MRENCLAVE\})")
#: Variables of a template that a run sets itself.
OWN_VARIABLES: Final = (
    "SESSION", "MRENCLAVE", "IMAGE", "INPUT_FSPF_KEY", "INPUT_FSPF_TAG", "OUTPUT_FSPF_KEY", "OUTPUT_FSPF_TAG",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageFacts:
    """What an image says of itself.

    Attributes:
        id: digest of its configuration.
        description: what is in ``application.yaml``; empty where there is none.
        template: of the session; None where there is none.
        environment: of its containers.
        command: what its containers start.
    """

    id: str
    description: Mapping[str, Any]
    template: str | None
    environment: Mapping[str, str]
    command: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageApplication:
    """An application.

    Attributes:
        reference: how the user named the image.
        id: digest of its configuration.
        title: what it calls itself, usable in names.
        program: what is started and measured, as it is called.
        service: of the session.
        input_volume, output_volume: names of the session's volumes.
        template: of the session.
        settings: ``SCONE_*`` settings, which are measured, that containers are started with.
        tree: what is measured.
        insists: whether the session asks for this very measurement.
    """

    reference: str
    id: str
    title: str
    program: str
    service: str
    input_volume: str
    output_volume: str
    template: str = field(repr=False)
    settings: Mapping[str, str]
    tree: MeasurementTree
    insists: bool


def placeholders(reference: str) -> dict[str, str]:
    """Return values by which a template can be looked at before there are real ones: keys that are told apart."""
    return {
        "SESSION": "session",
        "MRENCLAVE": "0" * 64,
        "IMAGE": reference,
        "INPUT_FSPF_KEY": "1" * 64,
        "INPUT_FSPF_TAG": "0" * 32,
        "OUTPUT_FSPF_KEY": "2" * 64,
        "OUTPUT_FSPF_TAG": "0" * 32,
    }


def facts_of(image: Image) -> tuple[ImageFacts, Tree]:
    """Read what an image says of itself, and its files.

    Raises:
        InputError: its description is not usable.
        IntegrityError: a layer is not what it has to be.
    """
    tree = Tree.of(image)
    description: dict[str, Any] = {}
    template = None
    if tree.find(_DESCRIPTION) is not None:
        description = _description(tree)
        path = str(PLACE / _inside(description["session"]))
        template = _decoded(tree.read(path, limit=_DOCUMENT_BYTES_MAX), path)
    facts = ImageFacts(
        id=image.written().id,
        description=description,
        template=template,
        environment=dict(image.config.env),
        command=(*image.config.entrypoint, *image.config.cmd),
    )
    return facts, tree


def application_of(
    reference: str, facts: ImageFacts, tree: Tree, *, template: str | None, variables: Mapping[str, str]
) -> ImageApplication:
    """Find out what a run of an image is.

    Args:
        reference: how the user named the image.
        facts: what it says of itself, as :func:`facts_of` has it.
        tree: its files, likewise.
        template: of the session, in place of the image's own.
        variables: of the template.

    Raises:
        InputError: the image cannot be run like this; the message says what is missing.
        PolicySyntaxError: the template is not in the session language.
    """
    text = template if template is not None else facts.template
    if text is None:
        raise InputError(
            f"the image {reference} has no {_DESCRIPTION}, so it does not say what session it runs under",
            hint="name a template of the session: --template FILE",
        )
    session = parse_session(text, variables={**variables, **placeholders(reference)})
    description = facts.description
    named = {**_found(session, facts, reference), **{key: value for key, value in description.items() if value}}
    session.service(named["service"])
    _require_volumes(session, named)
    settings = enclave_settings(dict(description.get("settings") or {}))
    program = _program(named["program"], tree, reference)
    measured = measured_program(program, tree, {**facts.environment, **settings})
    insists = bool(_MEASUREMENT.search(text))
    if insists:
        _require_own_build(tree, reference)
    return ImageApplication(
        reference=reference,
        id=facts.id,
        title=named["name"],
        program=program,
        service=named["service"],
        input_volume=named["input"],
        output_volume=named["output"],
        template=text,
        settings=settings,
        tree=measured,
        insists=insists,
    )


def _description(tree: Tree) -> dict[str, Any]:
    try:
        description = yaml.safe_load(_decoded(tree.read(_DESCRIPTION, limit=_DOCUMENT_BYTES_MAX), _DESCRIPTION))
    except (yaml.YAMLError, RecursionError) as error:
        raise InputError(f"{_DESCRIPTION} in the image is not YAML: {harmless(str(error))}") from error
    if not isinstance(description, dict):
        raise InputError(f"{_DESCRIPTION} in the image is a mapping, found something else")
    keys = {str(key) for key in description}
    if _REQUIRED - keys or keys - _REQUIRED - _OPTIONAL:
        raise InputError(
            f"{_DESCRIPTION} in the image has the keys {harmless(', '.join(sorted(keys)))}; "
            f"expected are {', '.join(sorted(_REQUIRED))}, and perhaps {', '.join(sorted(_OPTIONAL))}"
        )
    for key in _REQUIRED:
        if not isinstance(description[key], str) or not description[key]:
            raise InputError(f"{_DESCRIPTION} in the image: {key} is a text")
    if not _NAME.fullmatch(description["name"]):
        raise InputError(f"{_DESCRIPTION} in the image: name has letters, digits, dots, hyphens and underscores")
    settings = description.get("settings") or {}
    if not isinstance(settings, dict) or not all(isinstance(value, str) for value in settings.values()):
        raise InputError(f"{_DESCRIPTION} in the image: settings is a mapping of texts")
    if unknown := sorted(settings.keys() - enclave_settings(settings).keys()):
        raise InputError(f"{_DESCRIPTION}: settings has {harmless(', '.join(unknown))}, which no measurement covers")
    return description


def _decoded(data: bytes, path: str) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"{path} in the image is not UTF-8") from error


def _inside(text: str) -> PurePosixPath:
    path = PurePosixPath(text)
    if path.is_absolute() or ".." in path.parts or path == PurePosixPath():
        raise InputError(f"{_DESCRIPTION} in the image: session is a path below {PLACE}")
    return path


def _found(session: Session, facts: ImageFacts, reference: str) -> dict[str, str]:
    """Return what a template shows where no description says it."""
    found = {"name": _title(reference)}
    if len(session.services) == 1:
        service = session.services[0]
        found["service"] = service.name
        command = [_literal(word) for word in service.command]
        if command and command[0]:
            found["program"] = command[0]
    elif not facts.description:
        raise InputError(
            f"the template has {len(session.services)} services, and the image {reference} does not say which it is",
            hint=f"a template for an image without {_DESCRIPTION} has one service",
        )
    if "program" not in found and facts.command:
        found["program"] = facts.command[0]
    wanted = placeholders(reference)
    for what, variable in (("input", "INPUT_FSPF_KEY"), ("output", "OUTPUT_FSPF_KEY")):
        key = FspfKey.from_hex(wanted[variable])
        for volume in session.volumes:
            if isinstance(volume.key, ExplicitKey) and volume.key.key.reveal_hex() == key.reveal_hex():
                found[what] = volume.name
    return found


def _title(reference: str) -> str:
    """Return a name for runs from that of an image: the last word of it."""
    name = _KIND.sub("", reference).partition("@")[0]
    path, _, tag = name.rpartition("/")[2].partition(":")
    word = tag if tag and tag != "latest" and "cli" not in tag else path
    title = _NOT_IN_A_NAME.sub("-", word).strip("-")[:_TITLE_CHARACTERS]
    return title or "run"


def _literal(word: Template) -> str:
    """Return a word of a command, if there is nothing in it that the CAS puts in."""
    return "" if any(word.placeholders) else word.literal


def _require_volumes(session: Session, named: Mapping[str, str]) -> None:
    names = {volume.name for volume in session.volumes}
    for what in ("input", "output"):
        if what not in named or named[what] not in names:
            variable = f"${what.upper()}_FSPF_KEY"
            raise InputError(
                f"the template of the session has no volume for the {what}s with the key {variable}",
                hint=f"volumes: - {{name: NAME, fspf_key: {variable}, fspf_tag: ${what.upper()}_FSPF_TAG}}",
            )


def _program(name: str, tree: Tree, reference: str) -> str:
    """Return the path of the program, in whose place the launcher has to be."""
    paths = [name] if name.startswith("/") else [f"{directory}/{name}" for directory in _PATH.split(":")]
    found = next((found for path in paths if (found := tree.find(path)) and found.entry.kind == "file"), None)
    if found is None:
        raise InputError(f"there is no program {harmless(name)[:200]!r} in the image {reference}")
    is_launcher = found.entry.size == len(LAUNCHER) and tree.read(found.path) == LAUNCHER
    if not is_launcher or tree.find(original_path(found.path)) is None:
        raise InputError(
            f"{found.path} in the image {reference} does not start as an enclave: it is an ordinary program",
            hint="protect the image with sconify_image, or images/protect.sh",
        )
    if tree.find(_CARRIER) is None:
        raise InputError(
            f"the image {reference} has a runtime of an older version, without {_CARRIER}",
            hint="make the image again with this version",
        )
    return next(path for path in paths if (there := tree.find(path)) and there.entry.kind == "file")


def _require_own_build(tree: Tree, reference: str) -> None:
    """Refuse an image whose runtime is another one than this client's: its measurement could not be vouched for."""
    try:
        found = tree.read(BUILD_FILE, limit=_BUILD_BYTES_MAX).decode("ascii", "replace").strip()
    except BannockError:
        found = ""
    own = runtime_build().hex()
    if found != own:
        raise InputError(
            f"the image {reference} has another build of the runtime than this command: "
            f"{harmless(found)[:64] or 'none'}, expected {own}",
            hint="use the command of the version that the image was made with, or make the image again; "
            "a template that names its measurements itself takes any build",
        )
