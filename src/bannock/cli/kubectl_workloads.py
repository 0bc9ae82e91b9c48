"""Verbs of kubectl about what makes pods, for the stand-in: edit, set, scale, rollout, create namespace."""

from __future__ import annotations

import datetime as dt
import os
import shlex
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import yaml

from bannock.cli.kubectl_options import kubectl_parser, named, namespace_of, release_with, resources, seconds_of
from bannock.errors import EnvironmentFault, InputError
from bannock.kubernetes.local.helm import objects_in
from bannock.kubernetes.local.listing import pods_of
from bannock.kubernetes.local.place import LABEL
from bannock.kubernetes.stand_in.changes import restarted, scaled, with_images, with_variables

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

__all__ = ["run"]

_POLL_SECONDS: Final = 0.5
_MADE: Final = frozenset({"Deployment", "StatefulSet", "DaemonSet"})
_EXAMPLES: Final = "  kubectl edit deployment hello\n  kubectl set env deployment/hello NAME=VALUE"
_HEAD: Final = "# Change the object, save and leave; no change, or an empty file, is no edit.\n"


def run(verb: str, words: Sequence[str]) -> int:
    """Do one of these verbs."""
    verbs: dict[str, Callable[[Sequence[str]], int]] = {
        "edit": _edit, "set": _set, "scale": _scale, "rollout": _rollout, "create": _create,
    }  # fmt: skip
    return verbs[verb](words)


def _edit(words: Sequence[str]) -> int:
    parser = kubectl_parser("edit", "Change an object with the editor of the user.", _EXAMPLES)
    parser.add_argument("words", nargs="+", metavar="KIND NAME", help="the object")
    parsed = parser.parse_intermixed_args(words)
    ((kind, name),) = _workloads(parsed.words)
    _change(namespace_of(parsed), kind, name, _edited, "edited")
    return 0


def _set(words: Sequence[str]) -> int:
    parser = kubectl_parser("set", "Change variables or images.", _EXAMPLES)
    parser.add_argument("what", choices=("env", "image"), help="env or image")
    parser.add_argument("words", nargs="+", metavar="WORD", help="KIND/NAME, and NAME=VALUE …")
    parser.add_argument("-c", "--containers", metavar="NAME", help="the only container that is meant")
    parsed = parser.parse_intermixed_args(words)
    changes = [word for word in parsed.words if "=" in word or word.endswith("-")]
    ((kind, name),) = _workloads([word for word in parsed.words if word not in changes])
    if not changes:
        raise InputError("nothing is to be set", hint="kubectl set env deployment/NAME VARIABLE=VALUE")

    def changed(document: Mapping[str, Any]) -> dict[str, Any]:
        if parsed.what == "image":
            return with_images(document, changes)
        return with_variables(document, changes, parsed.containers)

    _change(namespace_of(parsed), kind, name, changed, f"{parsed.what} updated")
    return 0


def _scale(words: Sequence[str]) -> int:
    parser = kubectl_parser(
        "scale", "Change how many pods there are.", "  kubectl scale deployment/hello --replicas=2"
    )
    parser.add_argument("words", nargs="+", metavar="KIND/NAME", help="the object")
    parser.add_argument("--replicas", type=int, required=True, metavar="N", help="how many")
    parsed = parser.parse_intermixed_args(words)
    if parsed.replicas < 0:
        raise InputError(f"--replicas is not negative, found {parsed.replicas}")
    for kind, name in _workloads(parsed.words):
        _change(namespace_of(parsed), kind, name, lambda document: scaled(document, parsed.replicas), "scaled")
    return 0


def _rollout(words: Sequence[str]) -> int:
    parser = kubectl_parser(
        "rollout", "Wait for pods, or make them anew.", "  kubectl rollout restart deployment/hello"
    )
    parser.add_argument("what", choices=("status", "restart"), help="status or restart")
    parser.add_argument("words", nargs="+", metavar="KIND/NAME", help="the object")
    parser.add_argument("--timeout", default="300s", metavar="S", help="how long to wait (300s)")
    parser.add_argument("-w", "--watch", nargs="?", metavar="X", help="means nothing here")
    parsed = parser.parse_intermixed_args(words)
    moment = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
    for kind, name in _workloads(parsed.words):
        if parsed.what == "restart":
            _change(namespace_of(parsed), kind, name, lambda document: restarted(document, moment), "restarted")
        else:
            _wait(namespace_of(parsed), kind, name, seconds_of(parsed.timeout))
    return 0


def _create(words: Sequence[str]) -> int:
    parser = kubectl_parser("create", "Make a namespace.", "  kubectl create namespace scone-system")
    parser.add_argument("kind", metavar="namespace", help="what to make")
    parser.add_argument("name", metavar="NAME", help="of it")
    parsed = parser.parse_intermixed_args(words)
    if parsed.kind not in ("namespace", "ns"):
        raise InputError(
            f"`kubectl create {parsed.kind[:40]}` needs a cluster",
            hint="objects beside a chart: bannock k8s run --with",
        )
    sys.stdout.write(f"namespace/{parsed.name} created\n")
    return 0


def _workloads(words: Sequence[str]) -> list[tuple[str, str]]:
    found = named(words)
    for kind, name in found:
        if kind not in _MADE:
            raise InputError(f"the {kind} {name[:80]} is nothing that makes pods anew", hint="deployment/NAME is")
    return found


def _change(
    namespace: str, kind: str, name: str, changed: Callable[[Mapping[str, Any]], Mapping[str, Any]], done: str
) -> None:
    cluster, every = resources()
    release = release_with(cluster, namespace, kind, name)
    before = release.document(kind, name)
    after = changed(before)
    reference = every.reference(before)
    if after == before:
        sys.stdout.write("Edit cancelled, no changes made.\n" if done == "edited" else f"{reference} is so already\n")
        return
    cluster.change(release.with_document(after), kind, name)
    sys.stdout.write(f"{reference} {done}\n")


def _edited(document: Mapping[str, Any]) -> Mapping[str, Any]:
    editor = os.environ.get("KUBE_EDITOR") or os.environ.get("EDITOR") or "vi"
    with tempfile.TemporaryDirectory(prefix="kubectl-edit-") as directory:
        path = Path(directory) / "object.yaml"
        path.write_text(_HEAD + yaml.safe_dump(dict(document), sort_keys=False), encoding="utf-8")
        try:
            code = subprocess.run([*shlex.split(editor), str(path)], check=False).returncode
        except (OSError, ValueError) as error:
            raise EnvironmentFault(f"cannot start the editor {editor[:80]!r}: {error}", hint="set EDITOR") from error
        if code:
            raise EnvironmentFault(f"the editor {editor[:80]!r} ended with exit code {code}; nothing is changed")
        found = objects_in(path.read_bytes(), "what was edited")
    if not found:
        return document
    (after,) = found if len(found) == 1 else ({},)
    for field in ("kind", "metadata"):
        key = after.get(field) if field == "kind" else (after.get(field) or {}).get("name")
        if key != (document["kind"] if field == "kind" else document["metadata"]["name"]):
            raise InputError("kind and name of an object cannot be changed; nothing is")
    return after


def _wait(namespace: str, kind: str, name: str, seconds: int) -> None:
    cluster, every = resources()
    document = release_with(cluster, namespace, kind, name).document(kind, name)
    wanted = int(document.get("spec", {}).get("replicas", 1))
    labels = (f"{LABEL}.namespace={namespace}", f"{LABEL}.workload={kind.lower()}/{name}")
    end = time.monotonic() + seconds
    while True:
        ready = sum(pod.ready for pod in pods_of(cluster, *labels))
        if ready >= wanted:
            sys.stdout.write(f'{every.reference(document).partition("/")[0]} "{name}" successfully rolled out\n')
            return
        if time.monotonic() > end:
            raise EnvironmentFault(f"{ready} of {wanted} pods of {kind} {name} are ready after {seconds} seconds")
        time.sleep(_POLL_SECONDS)
