"""What a service's manifest has of the session language, looked at by the session language itself. Pure.

Secrets, variables, the command and injected files of a manifest become parts of a session. They are put into one
here, at the places that they have in the manifest, so that a slip in them is told as a slip in a session is.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from bannock.policy.documents import LATEST, Mapping, Scalar, Sequence, scalars, tree

if TYPE_CHECKING:
    from bannock.errors import Issue
    from bannock.policy.documents import Node

__all__ = ["session_issues"]

#: Stands for the measurement, which is known when the image is made.
_ANY: Final = "0" * 64
_SESSION: Final = "manifest"
_PATHS: Final = (
    (re.compile(r"^secrets\b"), "secrets.global"),
    (re.compile(r"^services\[0\]\.command\b"), "build.command"),
    (re.compile(r"^services\[0\]\.pwd\b"), "build.pwd"),
    (re.compile(r"^services\[0\]\.environment\.(?P<name>\w+)"), r"environment: \g<name>"),
    (re.compile(r"^images\[0\]\.injection_files\b"), "injection_files"),
)
_IMPORTS: Final = re.compile(r"^secrets\.global\[[0-9]+\]\.import")


def session_issues(root: Mapping) -> list[Issue]:
    """Give what the session language has against a manifest."""
    # Imported here: it takes long to load, and a manifest that was looked at before needs it no more.
    from bannock.policy.checking import Checked, check  # noqa: PLC0415

    document = _session(root)
    checked = check(document)
    if isinstance(checked, Checked):
        return []
    later = {(node.line, node.column) for _, node in scalars(root) if "{{" in node.text}
    issues = [_renamed(issue) for issue in checked if (issue.line, issue.column) not in later]
    return [issue for issue in issues if issue.line and not _IMPORTS.match(issue.path)]


def _renamed(issue: Issue) -> Issue:
    path = issue.path
    for pattern, name in _PATHS:
        path = pattern.sub(name, path)
    return replace(issue, path=path)


def _session(root: Mapping) -> Mapping:
    build, environment, secrets = (_mapping(root.get(key)) for key in ("build", "environment", "secrets"))
    service: list[tuple[Scalar, Node]] = [
        (_key("name"), tree("service")),
        (_key("image_name"), tree("image")),
        (_key("attestation"), tree([{"mrenclave": [_ANY]}])),
        (_key("environment"), _variables(environment)),
    ]
    service += [(key, value) for key, value in build.pairs if key.text in {"command", "pwd"}]
    image: list[tuple[Scalar, Node]] = [(_key("name"), tree("image"))]
    image += [(key, value) for key, value in root.pairs if key.text == "injection_files"]
    own = secrets.get("global")
    listed = Sequence(line=0, column=0, items=[*(own.items if isinstance(own, Sequence) else [])])
    imported = secrets.get("import")
    for item in imported.items if isinstance(imported, Sequence) else []:
        if isinstance(item, Scalar):
            name = replace(item, line=item.line, column=item.column)
            entry = [(_key("name"), name), (_key("import"), tree({"session": "another"}))]
            listed.items.append(Mapping(line=item.line, column=item.column, pairs=entry))
    pairs: list[tuple[Scalar, Node]] = [
        (_key("name"), tree(_SESSION)),
        (_key("version"), tree(LATEST)),
        (_key("services"), Sequence(line=0, column=0, items=[Mapping(line=0, column=0, pairs=service)])),
        (_key("images"), Sequence(line=0, column=0, items=[Mapping(line=0, column=0, pairs=image)])),
        (_key("secrets"), listed),
    ]
    return Mapping(line=0, column=0, pairs=pairs)


def _variables(environment: Mapping) -> Mapping:
    """Turn the list of local variables into the mapping that a session has."""
    pairs: list[tuple[Scalar, Node]] = []
    for item in _items(environment.get("local")):
        mapping = _mapping(item)
        name, value = mapping.get("name"), mapping.get("value")
        if isinstance(name, Scalar) and isinstance(value, Scalar):
            pairs.append((name, value))
    return Mapping(line=0, column=0, pairs=pairs)


def _items(node: Node | None) -> list[Node]:
    return node.items if isinstance(node, Sequence) else []


def _mapping(node: Node | None) -> Mapping:
    return node if isinstance(node, Mapping) else Mapping(line=0, column=0)


def _key(text: str) -> Scalar:
    return Scalar(line=0, column=0, text=text, source=text)
