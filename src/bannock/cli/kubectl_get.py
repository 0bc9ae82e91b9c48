"""``kubectl get`` and what else only looks, for the stand-in."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any, Final

import yaml

from bannock import __version__
from bannock.cli.k8s_list import columns
from bannock.cli.kubectl_options import kubectl_parser, labels_of, named, namespace_of, resources
from bannock.errors import InputError, NotFoundError
from bannock.kubernetes.stand_in.jsonpath import evaluate
from bannock.kubernetes.stand_in.resources import kind_named

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

__all__ = ["run"]

_HEADS: Final = {
    "Pod": ("NAME", "READY", "STATUS", "RESTARTS", "AGE"),
    "Deployment": ("NAME", "READY"),
    "StatefulSet": ("NAME", "READY"),
    "DaemonSet": ("NAME", "READY"),
    "Job": ("NAME", "READY"),
    "Service": ("NAME", "PORT(S)"),
    "Node": ("NAME", "STATUS", "WHAT"),
    "Namespace": ("NAME", "STATUS"),
    "LAS": ("NAME", "STATUS", "WHAT"),
    "SGXPlugin": ("NAME", "STATUS", "WHAT"),
    "CAS": ("NAME", "STATUS", "WHAT"),
}
_EXAMPLES: Final = "  kubectl get pods -o name\n  kubectl get cas cas -n scone-system -o json"


def run(verb: str, words: Sequence[str]) -> int:
    """Do one of these verbs."""
    if verb in ("get", "describe"):
        return _get(verb, words)
    if verb == "version":
        sys.stdout.write(f"Client Version: bannock {__version__} in place of kubectl\n")
    elif verb == "cluster-info":
        sys.stdout.write("There is no cluster: pods run on the container engine of this machine\n")
    elif list(words[:1]) == ["current-context"]:
        sys.stdout.write("bannock-k8s\n")
    else:
        raise InputError(f"`kubectl config {' '.join(words[:1])}` needs a cluster", hint="here there is none")
    return 0


def _get(verb: str, words: Sequence[str]) -> int:
    parser = kubectl_parser(verb, "List objects of this machine.", _EXAMPLES)
    parser.add_argument("words", nargs="+", metavar="KIND[/NAME]", help="what to list")
    parser.add_argument("-A", "--all-namespaces", action="store_true", help="of all namespaces")
    parser.add_argument("-o", "--output", default="", metavar="FORM", help="name, json, yaml, wide, jsonpath=…")
    parser.add_argument("-l", "--selector", metavar="LABELS", help="only those that have these labels")
    parser.add_argument("--no-headers", action="store_true", help="no line above")
    parser.add_argument("--ignore-not-found", action="store_true", help="nothing is no error")
    parser.add_argument("--show-labels", action="store_true", help="means nothing here")
    parsed = parser.parse_intermixed_args(words)
    place = None if parsed.all_namespaces else namespace_of(parsed)
    labels = labels_of(parsed.selector)
    _, every = resources()
    first = parsed.words[0]
    one = "/" in first or (len(parsed.words) == 2 and "," not in first)  # noqa: PLR2004 - a kind and a name
    wanted: list[tuple[str, str | None]]
    if "/" in first or len(parsed.words) > 1:
        wanted = [*named(parsed.words)]
    else:
        wanted = [(kind_named(word), None) for word in first.split(",")]
    found: list[dict[str, Any]] = []
    for kind, name in wanted:
        try:
            found += every.find(kind, place, name, labels)
        except NotFoundError:
            if not parsed.ignore_not_found:
                raise
    if not found and not parsed.output.startswith(("json", "yaml")):
        if not parsed.ignore_not_found:
            where = "" if place is None else f" in {place} namespace"
            sys.stderr.write(f"No resources found{where}.\n")
        return 0
    rows = [document.pop("row", []) for document in found]
    form = "yaml" if verb == "describe" else parsed.output
    sys.stdout.write(_shown(form, found, rows, [every.reference(each) for each in found], parsed, single=one))
    return 0


def _shown(
    form: str,
    found: list[dict[str, Any]],
    rows: list[list[str]],
    names: list[str],
    parsed: argparse.Namespace,
    *,
    single: bool,
) -> str:
    document: Any = {"apiVersion": "v1", "kind": "List", "items": found}
    if single and len(found) == 1:
        document = found[0]
    kind, _, template = form.partition("=")
    if form == "name":
        return "".join(f"{name}\n" for name in names)
    if form == "json":
        return f"{json.dumps(document, indent=4, default=str)}\n"
    if form == "yaml":
        return str(yaml.safe_dump(json.loads(json.dumps(document, default=str)), sort_keys=False))
    if kind == "jsonpath":
        return evaluate(template, document)
    if form not in ("", "wide"):
        raise InputError(
            f"--output {form[:80]} is not understood here", hint="name, json, yaml, wide and jsonpath=… are"
        )
    lines: list[Sequence[str]] = []
    for index, (each, row) in enumerate(zip(found, rows, strict=True)):
        head = _HEADS.get(each["kind"], ("NAME",))
        space = [each["metadata"].get("namespace", "")] if parsed.all_namespaces else []
        if not parsed.no_headers and (index == 0 or found[index - 1]["kind"] != each["kind"]):
            lines.append([*(["NAMESPACE"] if parsed.all_namespaces else []), *head])
        lines.append([*space, *row])
    width = max(len(line) for line in lines)
    return columns([[*line, *[""] * (width - len(line))] for line in lines])
