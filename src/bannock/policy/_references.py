"""What a session document has to be beyond its form: names that are unique, references that lead somewhere.

Pure. Works on the document's tree and passes over whatever is not of the right form, so that its issues come
together with those of the form.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from bannock.errors import InputError
from bannock.policy._document import Mapping, Node, Scalar, Sequence, scalars
from bannock.policy._issues import issue_at
from bannock.policy._secret_references import check_placeholder, check_secrets
from bannock.policy._walk import descend, items, names, scalar, secret_kinds, text_of, unknown
from bannock.policy._wire_base import sole_placeholder
from bannock.policy.configuration import UpdatePolicy
from bannock.policy.template import Template, is_placeholder

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bannock.errors import Issue

__all__ = ["check_references"]

_NAMED_SECTIONS: Final = ("services", "images", "volumes", "secrets")
#: Its secret is checked where it is known what it has to be.
_ELSEWHERE: Final = ".one_time_password_shared_secret"
_FSPF: Final = ("fspf_path", "fspf_key", "fspf_tag")


def check_references(root: Mapping) -> Iterator[Issue]:
    """Yield every issue of names and references in the document."""
    for section in _NAMED_SECTIONS:
        yield from _unique_names(root, section)
    yield from _attestation(root)
    yield from _exports(root)
    yield from _images(root)
    yield from _shown(root)
    yield from _placeholders(root)
    yield from _main_fspf(root)
    yield from _bindings(root)
    yield from check_secrets(root)
    yield from _tolerations(root)


def _unique_names(root: Mapping, section: str) -> Iterator[Issue]:
    seen: set[str] = set()
    for item, path in items(root, section):
        name = scalar(item, "name")
        if name is not None and name.text in seen:
            yield issue_at(name, f"{path}.name", f"the name {name.source[:128]!r} is taken in {section} already")
        if name is not None:
            seen.add(name.text)


def _attestation(root: Mapping) -> Iterator[Issue]:
    """Every service needs a way to be trusted, unless the session trusts everybody, or a secret says whom."""
    for place in (("security",), ("security", "attestation"), ("security", "attestation", "mode")):
        node = descend(root, *place)
        if isinstance(node, Scalar) and (is_placeholder(node.text) or (len(place) > 2 and node.text == "none")):  # noqa: PLR2004
            return
    trusted = {text_of(item, "name") for item, _ in items(root, "images") if item.key("mrenclaves") is not None}
    for item, path in items(root, "services"):
        given = any(item.key(key) is not None for key in ("attestation", "mrenclaves", "import"))
        if not given and text_of(item, "image_name") not in trusted:
            message = "attestation is missing: no enclave could ever be this service"
            yield issue_at(item, path, message, "list its MRENCLAVE under attestation")


def _exports(root: Mapping) -> Iterator[Issue]:
    """What language version 0.1 exports by name is there."""
    for item, path in items(root, "exports"):
        section = {"service": "services", "image": "images"}.get(text_of(item, "namespace"))
        name = scalar(item, "name")
        if section is not None and name is not None and name.text not in names(root, section):
            yield unknown(name, f"{path}.name", section.removesuffix("s"), names(root, section))


def _images(root: Mapping) -> Iterator[Issue]:
    images, volumes = names(root, "images"), names(root, "volumes")
    exported = {text_of(item, "name") for item, _ in items(root, "exports") if text_of(item, "namespace") == "image"}
    for item, path in items(root, "services"):
        image = scalar(item, "image_name")
        if image is not None and image.text not in images:
            yield unknown(image, f"{path}.image_name", "image", images)
    for item, path in items(root, "images"):
        for mount, below in items(item, "volumes", path):
            name = scalar(mount, "name")
            # In language version 0.1 the session that imports an image has its volumes.
            if name is not None and name.text not in volumes and text_of(item, "name") not in exported:
                yield unknown(name, f"{below}.name", "volume", volumes)
        yield from _mount_points(item, path)


def _shown(root: Mapping) -> Iterator[Issue]:
    """What the runtime makes for a service cannot be where its image has something."""
    images = {text_of(item, "name"): item for item, _ in items(root, "images")}
    for service, path in items(root, "services"):
        image = images.get(text_of(service, "image_name"))
        parts = [] if image is None else [*items(image, "volumes"), *items(image, "injection_files")]
        taken = {text_of(part, "path").rstrip("/") for part, _ in parts}
        for keys in (("attestation_token", "path"), ("ra_tls", "certificate"), ("ra_tls", "private_key")):
            place = scalar(descend(service, keys[0]), keys[1])
            if place is None:
                continue
            if place.text in taken:
                yield issue_at(place, f"{path}.{'.'.join(keys)}", "something is at this path already")
            taken.add(place.text)


def _mount_points(image: Mapping, path: str) -> Iterator[Issue]:
    """Two parts of an image cannot be at one place, nor one volume at two."""
    taken: set[str] = set()
    mounted: set[str] = set()
    for part, below in (*items(image, "volumes", path), *items(image, "injection_files", path)):
        place, name = scalar(part, "path"), scalar(part, "name")
        if place is not None:
            spelled = place.text.rstrip("/")
            if spelled in taken:
                yield issue_at(place, f"{below}.path", "the image has something at this path already")
            taken.add(spelled)
        if name is not None:
            if name.text in mounted:
                yield issue_at(name, f"{below}.name", "the image has this volume already")
            mounted.add(name.text)


def _placeholders(root: Mapping) -> Iterator[Issue]:
    kinds = secret_kinds(root)
    for item, path in items(root, "services"):
        command = item.get("command")
        words = command.items if isinstance(command, Sequence) else [command]
        for index, word in enumerate(words):
            place = f"{path}.command[{index}]" if isinstance(command, Sequence) else f"{path}.command"
            yield from _placeholders_in(word, place, kinds, as_text=True)
        environment = item.get("environment")
        for key, value in environment.pairs if isinstance(environment, Mapping) else []:
            yield from _placeholders_in(value, f"{path}.environment.{key.text}", kinds, as_text=True)
    for item, path in items(root, "images"):
        for file, below in items(item, "injection_files", path):
            yield from _placeholders_in(file.get("content"), f"{below}.content", kinds, as_text=False)


def _placeholders_in(node: Node | None, path: str, kinds: dict[str, str], *, as_text: bool) -> Iterator[Issue]:
    if not isinstance(node, Scalar):
        return
    try:
        placeholders = list(Template.parse(node.text).placeholders)
    except InputError:
        return  # an issue of the form
    for placeholder in placeholders:
        yield from check_placeholder(node, path, placeholder, kinds, as_text=as_text)


def _bindings(root: Mapping) -> Iterator[Issue]:
    """A secret that stands for a part of a section is one of the session, in a form that is text."""
    kinds = secret_kinds(root)
    places = [(root.get("security"), "security")]
    for item, path in items(root, "services"):
        places += [(item.get(key), f"{path}.{key}") for key in ("attestation", "mrenclaves", "platforms")]
    places += [(item.get("mrenclaves"), f"{path}.mrenclaves") for item, path in items(root, "images")]
    for node, path in places:
        for below, value in scalars(node, path) if node is not None else ():
            placeholder = sole_placeholder(value.text)
            if placeholder is not None and not below.endswith(_ELSEWHERE):
                yield from check_placeholder(value, below, placeholder, kinds, as_text=True)


def _main_fspf(root: Mapping) -> Iterator[Issue]:
    """A main protection file has a path, a key and a first state, which may be missing only where any will do."""
    for item, path in items(root, "services"):
        given = [key for name in (*_FSPF, "fspf_update_policy") if (key := item.key(name)) is not None]
        policy = scalar(item, "fspf_update_policy")
        # Where any state will do, none is named; a policy that does not exist is an issue of the form.
        named = policy is None or policy.text in (UpdatePolicy.REINITIALIZABLE, UpdatePolicy.EPHEMERAL)
        needed = _FSPF if named else _FSPF[:2]
        missing = [name for name in needed if item.key(name) is None]
        if given and missing:
            message = f"expected {' and '.join(missing)} beside {given[0].text}"
            hint = "scone fspf encrypt prints key and tag of a protection file" if missing != ["fspf_path"] else None
            yield issue_at(given[0], f"{path}.{given[0].text}", message, hint)


def _tolerations(root: Mapping) -> Iterator[Issue]:
    tolerate = descend(root, "security", "attestation", "tolerate")
    seen: set[str] = set()
    for index, item in enumerate(tolerate.items if isinstance(tolerate, Sequence) else []):
        if isinstance(item, Scalar):
            if item.text in seen:
                path = f"security.attestation.tolerate[{index}]"
                yield issue_at(item, path, f"{item.source[:60]!r} is in the list twice")
            seen.add(item.text)
