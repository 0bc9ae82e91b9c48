"""Reading of manifests: text in, a typed manifest or every issue at once out. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeVar

from bannock.errors import ManifestSyntaxError, PolicySyntaxError
from bannock.mesh.manifests.as_session import session_issues
from bannock.mesh.manifests.checks import mesh_issues, service_issues
from bannock.mesh.manifests.description import DEFECT, Issues, ListOf, Record
from bannock.mesh.manifests.model import Environment, MeshManifest, SecretEntry, ServiceManifest
from bannock.mesh.manifests.placeholders import hidden, shown
from bannock.mesh.manifests.secret_kind import SecretKindOf
from bannock.policy.documents import ISSUES_MAX, Mapping, Scalar, compose, issue_at, nearest, plain, repeated_keys

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bannock.errors import Issue
    from bannock.policy.documents import Node

__all__ = ["parse_environment", "parse_manifest", "parse_mesh", "parse_part", "parse_secrets", "parse_service"]

_KINDS: Final[dict[str, type[Any]]] = {"genservice": ServiceManifest, "mesh": MeshManifest}
_Manifest = TypeVar("_Manifest")


def parse_manifest(text: str, *, checked: bool = False) -> ServiceManifest | MeshManifest:
    """Read the manifest of a service or of a mesh; its ``kind`` says which.

    Args:
        text: the manifest.
        checked: whether nothing was found in the same text before, so that the language of sessions is not asked.

    Raises:
        ManifestSyntaxError: it is neither; it carries every issue.
    """
    root = _root(text)
    manifest: ServiceManifest | MeshManifest = _read(root, _KINDS[_kind(root)], checked=checked)
    return manifest


def parse_service(text: str) -> ServiceManifest:
    """Read the manifest of a service.

    Raises:
        ManifestSyntaxError: it is none; it carries every issue.
    """
    return _read(_root(text), ServiceManifest)


def parse_mesh(text: str) -> MeshManifest:
    """Read the manifest of a mesh.

    Raises:
        ManifestSyntaxError: it is none; it carries every issue.
    """
    return _read(_root(text), MeshManifest)


def parse_secrets(text: str) -> tuple[SecretEntry, ...]:
    """Read a file of secrets (``image_secrets``): a list of them.

    Raises:
        ManifestSyntaxError: it is none; it carries every issue.
    """
    node = _node(text)
    issues = Issues()
    issues.found += repeated_keys(node)
    secrets: Any = ListOf(SecretKindOf()).read(node, "secrets", issues)
    if not issues.found:
        # The session language looks at them as at those of a service.
        alone = Mapping(line=0, column=0, pairs=[(_key("global"), node)])
        root = Mapping(line=0, column=0, pairs=[(_key("secrets"), alone)])
        issues.found += session_issues(root)
    if secrets is DEFECT or issues.found:
        raise _invalid(issues.found, "file of secrets")
    read: tuple[SecretEntry, ...] = secrets
    return read


def parse_environment(text: str) -> Environment:
    """Read a file of variables (``env`` of a service): what a service has as ``environment``.

    Raises:
        ManifestSyntaxError: it is none; it carries every issue.
    """
    root = _root(text, "local and global")
    issues = Issues()
    issues.found += repeated_keys(root)
    environment: Any = Record(Environment).read(root, "", issues)
    if not issues.found:
        issues.found += session_issues(Mapping(line=0, column=0, pairs=[(_key("environment"), root)]))
    if environment is DEFECT or issues.found:
        raise _invalid(issues.found, "file of variables")
    read: Environment = environment
    return read


def parse_part(text: str) -> dict[str, Any]:
    """Read a session, or a part of one, in which ``{{NAME}}`` stands for values of a mesh.

    Raises:
        ManifestSyntaxError: it is no mapping, or has a key twice; whether it is a session shows when it is one.
    """
    root = _root(text, "the parts of a session")
    if issues := list(repeated_keys(root)):
        raise _invalid(issues, "policy")
    part: dict[str, Any] = plain(root)
    return part


def _key(text: str) -> Scalar:
    return Scalar(line=0, column=0, text=text, source=text)


def _node(text: str) -> Node:
    try:
        node = compose(hidden(text))
    except PolicySyntaxError as error:
        raise _invalid(error.issues) from None
    shown(node)
    return node


def _root(text: str, keys: str = "apiVersion and kind") -> Mapping:
    root = _node(text)
    if isinstance(root, Mapping):
        return root
    raise _invalid([issue_at(root, "", f"expected a mapping with {keys}")])


def _kind(root: Mapping) -> str:
    node = root.get("kind")
    allowed = ", ".join(_KINDS)
    if not isinstance(node, Scalar):
        raise _invalid([issue_at(node or root, "kind", f"kind is missing, expected one of {allowed}")])
    if node.text not in _KINDS:
        message = f"expected one of {allowed}, found {node.text[:60]!r}"
        raise _invalid([issue_at(node, "kind", message, nearest(node.text, _KINDS))])
    return node.text


def _read(root: Mapping, model: type[_Manifest], *, checked: bool = False) -> _Manifest:
    issues = Issues()
    issues.found += repeated_keys(root)
    manifest = Record(model).read(root, "", issues)
    if model is ServiceManifest and not checked:
        # A value that is no text has an issue already, and the session language would tell it again.
        known = {(issue.line, issue.column) for issue in issues.found}
        issues.found += (issue for issue in session_issues(root) if (issue.line, issue.column) not in known)
    if manifest is not DEFECT and not issues.found:
        issues.found += service_issues(manifest, root) if model is ServiceManifest else mesh_issues(manifest, root)
    if manifest is DEFECT or issues.found:
        raise _invalid(issues.found)
    return manifest  # type: ignore[no-any-return] # a record reads what it is of


def _invalid(issues: Iterable[Issue], document: str = "manifest") -> ManifestSyntaxError:
    ordered = sorted(dict.fromkeys(issues), key=lambda issue: (issue.line, issue.column))
    what = "1 issue" if len(ordered) == 1 else f"{len(ordered)} issues"
    return ManifestSyntaxError(f"the {document} has {what}", ordered[:ISSUES_MAX])
