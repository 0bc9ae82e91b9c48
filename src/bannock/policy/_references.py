"""What a session document has to be beyond its form: names that are unique, references that lead somewhere.

Pure. Works on the document's tree and passes over whatever is not of the right form, so that its issues come
together with those of the form.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from bannock.errors import InputError
from bannock.policy._document import Mapping, Node, Scalar, Sequence
from bannock.policy._issues import issue_at, nearest
from bannock.policy.configuration import UpdatePolicy
from bannock.policy.template import Placeholder, SecretKind, Template
from bannock.values import FSPF_KEY_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bannock.errors import Issue

__all__ = ["check_references"]

_NAMED_SECTIONS: Final = ("services", "images", "volumes", "secrets")
_FSPF: Final = ("fspf_path", "fspf_key", "fspf_tag")
_ALONE: Final = frozenset({"ANY", "NONE"})


def check_references(root: Mapping) -> Iterator[Issue]:
    """Yield every issue of names and references in the document."""
    for section in _NAMED_SECTIONS:
        yield from _unique_names(root, section)
    yield from _attestation(root)
    yield from _images(root)
    yield from _placeholders(root)
    yield from _main_fspf(root)
    yield from _fspf_keys(root, "services")
    yield from _fspf_keys(root, "volumes")
    yield from _access(root)
    yield from _tolerations(root)


def _unique_names(root: Mapping, section: str) -> Iterator[Issue]:
    seen: set[str] = set()
    for item, path in _items(root, section):
        name = _scalar(item, "name")
        if name is not None and name.text in seen:
            yield issue_at(name, f"{path}.name", f"the name {name.source[:128]!r} is taken in {section} already")
        if name is not None:
            seen.add(name.text)


def _attestation(root: Mapping) -> Iterator[Issue]:
    """Every service needs a way to be trusted, unless the session trusts everybody."""
    mode = _descend(root, "security", "attestation", "mode")
    if isinstance(mode, Scalar) and mode.text == "none":
        return
    for item, path in _items(root, "services"):
        if item.key("attestation") is None and item.key("mrenclaves") is None:
            message = "attestation is missing: no enclave could ever be this service"
            yield issue_at(item, path, message, "list its MRENCLAVE under attestation")


def _images(root: Mapping) -> Iterator[Issue]:
    images, volumes = _names(root, "images"), _names(root, "volumes")
    for item, path in _items(root, "services"):
        image = _scalar(item, "image_name")
        if image is not None and image.text not in images:
            yield _unknown(image, f"{path}.image_name", "image", images)
    for item, path in _items(root, "images"):
        for mount, below in _items(item, "volumes", path):
            name = _scalar(mount, "name")
            if name is not None and name.text not in volumes:
                yield _unknown(name, f"{below}.name", "volume", volumes)
        yield from _mount_points(item, path)


def _mount_points(image: Mapping, path: str) -> Iterator[Issue]:
    """Two parts of an image cannot be at one place, nor one volume at two."""
    taken: set[str] = set()
    mounted: set[str] = set()
    for part, below in (*_items(image, "volumes", path), *_items(image, "injection_files", path)):
        place, name = _scalar(part, "path"), _scalar(part, "name")
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
    kinds = _kinds(root)
    for item, path in _items(root, "services"):
        command = item.get("command")
        words = command.items if isinstance(command, Sequence) else [command]
        for index, word in enumerate(words):
            place = f"{path}.command[{index}]" if isinstance(command, Sequence) else f"{path}.command"
            yield from _placeholders_in(word, place, kinds, as_text=True)
        environment = item.get("environment")
        for key, value in environment.pairs if isinstance(environment, Mapping) else []:
            yield from _placeholders_in(value, f"{path}.environment.{key.text}", kinds, as_text=True)
    for item, path in _items(root, "images"):
        for file, below in _items(item, "injection_files", path):
            yield from _placeholders_in(file.get("content"), f"{below}.content", kinds, as_text=False)


def _placeholders_in(node: Node | None, path: str, kinds: dict[str, str], *, as_text: bool) -> Iterator[Issue]:
    if not isinstance(node, Scalar):
        return
    try:
        placeholders = list(Template.parse(node.text).placeholders)
    except InputError:
        return  # an issue of the form
    for placeholder in placeholders:
        yield from _placeholder(node, path, placeholder, kinds, as_text=as_text)


def _placeholder(
    node: Scalar, path: str, placeholder: Placeholder, kinds: dict[str, str], *, as_text: bool
) -> Iterator[Issue]:
    placeholder = placeholder.within(kinds)
    if placeholder.name not in kinds:
        message = f"no secret is named {placeholder.name!r}"
        yield issue_at(node, path, message, nearest(placeholder.name, kinds))
    elif kinds[placeholder.name] in set(SecretKind):
        try:
            placeholder.require_fit(SecretKind(kinds[placeholder.name]), as_text=as_text)
        except InputError as error:
            yield issue_at(node, path, error.message)


def _main_fspf(root: Mapping) -> Iterator[Issue]:
    """A main protection file has a path, a key and a first state, which may be missing only where any will do."""
    for item, path in _items(root, "services"):
        given = [key for name in (*_FSPF, "fspf_update_policy") if (key := item.key(name)) is not None]
        policy = _scalar(item, "fspf_update_policy")
        # Any other policy than the default has no need of a tag; one that does not exist is an issue of the form.
        needed = _FSPF if policy is None or policy.text == UpdatePolicy.REINITIALIZABLE else _FSPF[:2]
        missing = [name for name in needed if item.key(name) is None]
        if given and missing:
            message = f"expected {' and '.join(missing)} beside {given[0].text}"
            hint = "scone fspf encrypt prints key and tag of a protection file" if missing != ["fspf_path"] else None
            yield issue_at(given[0], f"{path}.{given[0].text}", message, hint)


def _fspf_keys(root: Mapping, section: str) -> Iterator[Issue]:
    """A secret that is the key of a protection file is a binary one of the right size."""
    secrets = {name.text: item for item, _ in _items(root, "secrets") if (name := _scalar(item, "name"))}
    for item, path in _items(root, section):
        key = _scalar(item, "fspf_key")
        try:
            placeholders = list(Template.parse(key.text).placeholders) if key is not None else []
        except InputError:
            continue  # an issue of the form
        if key is None or len(placeholders) != 1:
            continue
        secret = secrets.get(placeholders[0].name)
        if secret is None:
            message = f"no secret is named {placeholders[0].name!r}"
            yield issue_at(key, f"{path}.fspf_key", message, nearest(placeholders[0].name, secrets))
        elif not _is_key(secret) or placeholders[0].format or placeholders[0].escape_json:
            message = f"expected a secret of kind binary and size {FSPF_KEY_BYTES}, without a format"
            yield issue_at(key, f"{path}.fspf_key", message)


def _is_key(secret: Mapping) -> bool:
    kind, size, value = (_scalar(secret, key) for key in ("kind", "size", "value"))
    digits = 2 * FSPF_KEY_BYTES
    sized = len(value.text) == digits if value is not None else size is not None and size.text == str(FSPF_KEY_BYTES)
    return kind is not None and kind.text == SecretKind.BINARY and sized


def _access(root: Mapping) -> Iterator[Issue]:
    policy = root.get("access_policy")
    for key, entries in policy.pairs if isinstance(policy, Mapping) else []:
        items = entries.items if isinstance(entries, Sequence) else []
        for index, entry in enumerate(items):
            if isinstance(entry, Scalar) and entry.text in _ALONE and len(items) > 1:
                path = f"access_policy.{key.text}[{index}]"
                yield issue_at(entry, path, f"{entry.text} has to be the only entry of its list")


def _tolerations(root: Mapping) -> Iterator[Issue]:
    tolerate = _descend(root, "security", "attestation", "tolerate")
    seen: set[str] = set()
    for index, item in enumerate(tolerate.items if isinstance(tolerate, Sequence) else []):
        if isinstance(item, Scalar):
            if item.text in seen:
                path = f"security.attestation.tolerate[{index}]"
                yield issue_at(item, path, f"{item.source[:60]!r} is in the list twice")
            seen.add(item.text)


def _kinds(root: Mapping) -> dict[str, str]:
    """Give the kind of every secret by its name; empty text where the document says none."""
    kinds: dict[str, str] = {}
    for item, _ in _items(root, "secrets"):
        name, kind = _scalar(item, "name"), _scalar(item, "kind")
        if name is not None:
            kinds[name.text] = kind.text if kind is not None else ""
    return kinds


def _names(root: Mapping, section: str) -> set[str]:
    return {name.text for item, _ in _items(root, section) if (name := _scalar(item, "name"))}


def _unknown(node: Scalar, path: str, what: str, known: set[str]) -> Issue:
    return issue_at(node, path, f"no {what} is named {node.source[:128]!r}", nearest(node.text, sorted(known)))


def _items(parent: Mapping, section: str, path: str = "") -> list[tuple[Mapping, str]]:
    """Give the mappings in a list of a mapping, each with its path."""
    node = parent.get(section)
    start = f"{path}.{section}" if path else section
    items = node.items if isinstance(node, Sequence) else []
    return [(item, f"{start}[{index}]") for index, item in enumerate(items) if isinstance(item, Mapping)]


def _scalar(parent: Mapping, key: str) -> Scalar | None:
    node = parent.get(key)
    return node if isinstance(node, Scalar) else None


def _descend(node: Node | None, *keys: str) -> Node | None:
    for key in keys:
        node = node.get(key) if isinstance(node, Mapping) else None
    return node
