"""Options that verbs of the stand-in for kubectl share, and the words by which they name objects."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any, Final

from bannock.cli.k8s_options import NAMESPACE, aliases_of, local_cluster
from bannock.cli.options import Parser
from bannock.errors import InputError, NotFoundError
from bannock.kubernetes.local.place import require_name
from bannock.kubernetes.stand_in.resources import Resources, kind_named

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bannock.kubernetes.local.here import LocalCluster
    from bannock.kubernetes.local.releases import Release

__all__ = ["NAMED", "kubectl_parser", "labels_of", "named", "namespace_of", "release_with", "resources", "seconds_of"]

#: Where kubectl takes ``KIND NAME`` and ``KIND/NAME`` alike.
NAMED: Final = "KIND/NAME"
_DURATION: Final = re.compile(r"(?:([0-9]{1,6})h)?(?:([0-9]{1,6})m)?(?:([0-9]{1,9})s?)?")
_CONTEXT: Final = ("--context", "--kubeconfig", "--cluster", "--user", "--request-timeout")


def kubectl_parser(verb: str, description: str, examples: str) -> Parser:
    """Return a parser with the options that every verb has."""
    parser = Parser(verb, description, examples, command="kubectl")
    parser.add_argument("-n", "--namespace", default=NAMESPACE, metavar="NS", help=f"namespace ({NAMESPACE})")
    for option in _CONTEXT:
        parser.add_argument(option, metavar="X", help="of clusters; means nothing here")
    return parser


def resources() -> tuple[LocalCluster, Resources]:
    """Return what stands for a cluster, and its objects."""
    cluster = local_cluster(None)
    return cluster, Resources(cluster, aliases_of([], os.environ))


def namespace_of(parsed: Any) -> str:
    """Return the namespace that is meant.

    Raises:
        InputError: it cannot be one.
    """
    return require_name(parsed.namespace, "a namespace")


def named(words: Sequence[str], kind: str | None = None) -> list[tuple[str, str]]:
    """Return the objects that words name: ``KIND/NAME …``, ``KIND NAME …``, or names of a kind.

    Raises:
        InputError: they name none.
    """
    found, left = [], list(words)
    if left and "/" not in left[0] and kind is None:
        kind = kind_named(left.pop(0))
    for word in left:
        before, slash, name = word.rpartition("/")
        if not slash and kind is None:
            raise InputError(f"an object is named {NAMED}, found {word[:80]!r}")
        found.append((kind_named(before) if slash else str(kind), name))
    if not found:
        raise InputError("no object is named", hint=f"name it: {NAMED}")
    return found


def labels_of(text: str | None) -> dict[str, str]:
    """Read a selector of labels.

    Raises:
        InputError: it is more than ``NAME=VALUE`` with commas.
    """
    found = {}
    for part in filter(None, (text or "").split(",")):
        name, equals, value = part.partition("=")
        if not equals or name.endswith("!"):
            raise InputError(f"a selector is NAME=VALUE,…, found {part[:80]!r}")
        found[name.strip()] = value.removeprefix("=").strip()
    return found


def seconds_of(text: str) -> int:
    """Read a duration, as ``300s`` or ``5m``.

    Raises:
        InputError: it is none.
    """
    found = _DURATION.fullmatch(text)
    if found is None or not any(found.groups()):
        raise InputError(f"a duration is like 90s, 5m or 1h, found {text[:40]!r}")
    hours, minutes, seconds = (int(part or 0) for part in found.groups())
    return hours * 3600 + minutes * 60 + seconds


def release_with(cluster: LocalCluster, namespace: str, kind: str, name: str) -> Release:
    """Return the release that has an object.

    Raises:
        NotFoundError: none has.
    """
    for release in cluster.book.all(namespace):
        try:
            release.document(kind, name)
        except NotFoundError:
            continue
        return release
    raise NotFoundError(
        f"there is no {kind} {name[:200]} in the namespace {namespace}",
        hint=f"kubectl get {kind.lower()}s -n {namespace}",
    )
