"""``bannock k8s helm``: releases of charts on this machine; all that asks no cluster is the real helm's."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import yaml

from bannock.cli.k8s_list import columns
from bannock.cli.k8s_options import NAMESPACE, aliases_of, local_cluster, tell
from bannock.cli.k8s_run import deploy
from bannock.cli.kubectl_options import seconds_of
from bannock.cli.options import Parser
from bannock.errors import ConflictError, InputError, NotFoundError
from bannock.kubernetes.local.helm import ChartRequest, find_program
from bannock.kubernetes.local.place import require_name

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Sequence

    from bannock.kubernetes.local.here import LocalCluster
    from bannock.kubernetes.local.releases import Release

__all__ = ["main"]

_DESCRIPTION: Final = """\
Stand in for helm where there is no cluster (bannock k8s env): install, upgrade, uninstall, list, status, get and
rollback are about releases of this machine; all other words go to the real helm."""
_EXAMPLES: Final = """\
  bannock k8s helm install pythonapp target/helm
  bannock k8s helm uninstall pythonapp"""
#: Options of helm that a chart is rendered by, and have a value.
_RENDERING: Final = (
    "--set", "--set-string", "--set-file", "--set-json", "--set-literal", "--values", "--version", "--repo",
    "--username", "--password", "--ca-file", "--cert-file", "--key-file", "--keyring", "--api-versions",
    "--kube-version", "--post-renderer",
)  # fmt: skip
#: Those that mean nothing, or nothing else than what is done anyway.
_SILENT_FLAGS: Final = (
    "--create-namespace", "--force", "--debug", "--wait-for-jobs", "--cleanup-on-fail", "--reset-values",
    "--dependency-update", "--skip-crds", "--no-hooks", "--replace", "--disable-openapi-validation", "--hide-notes",
    "--force-conflicts", "--force-replace",
)  # fmt: skip
_SILENT: Final = ("--history-max", "--description", "--kube-context", "--kubeconfig", "--labels")
_SECONDS: Final = "300s"


def main(arguments: Sequence[str]) -> int:
    """Find the verb, do it or become the real helm."""
    parser = Parser("k8s helm", _DESCRIPTION, _EXAMPLES)
    parser.add_argument("verb", metavar="VERB", nargs="?", help="what helm is to do")
    parser.add_argument("words", metavar="ARGUMENT", nargs="*", help="of the verb, as helm has them")
    if not arguments or arguments[0] in ("-h", "--help"):
        parser.parse_args(["--help"])
    verbs: dict[str, Callable[[str, Sequence[str]], int]] = {
        "install": _install, "upgrade": _install, "uninstall": _uninstall, "delete": _uninstall, "del": _uninstall,
        "un": _uninstall, "list": _list, "ls": _list, "status": _status, "get": _get, "rollback": _rollback,
    }  # fmt: skip
    words = list(arguments)
    verb = next((word for word in words if not word.startswith("-") and word in verbs), None)
    # A namespace may stand before the verb, and be called as one is.
    if verb is None or (words[0] != verb and not words[0].startswith("-")):
        helm = find_program("helm", os.environ)
        sys.stdout.flush()
        os.execv(helm, [helm, *words])  # noqa: S606 - no shell between
    words.remove(verb)
    return verbs[verb](verb, words)


def _parser(verb: str, what: str) -> Parser:
    parser = Parser(verb, what, f"  helm {verb} pythonapp", command="helm")
    parser.add_argument("-n", "--namespace", default=NAMESPACE, metavar="NS", help=f"namespace ({NAMESPACE})")
    return parser


def _install(verb: str, words: Sequence[str]) -> int:
    parsed = _install_options(verb, words)
    name, chart = parsed.names
    if parsed.dry_run not in ("", "none", "false"):
        helm = find_program("helm", os.environ)
        os.execv(helm, [helm, "template", name, chart, "--namespace", parsed.namespace, *_options(parsed)])  # noqa: S606
    cluster = local_cluster(None)
    before = cluster.book.find(parsed.namespace, name)
    if verb == "install" and before is not None:
        raise ConflictError(f"there is a release {name} already", hint=f"helm upgrade --install {name} {chart}")
    if verb == "upgrade" and before is None and not parsed.install:
        raise NotFoundError(f"there is no release {name}", hint=f"helm upgrade --install {name} {chart}")
    if verb == "upgrade" and before is None:
        sys.stdout.write(f'Release "{name}" does not exist. Installing it now.\n')
        sys.stdout.flush()
    done = _deployed(cluster, _rendered(parsed, before), before, parsed)
    if verb == "upgrade" and before is not None:
        sys.stdout.write(f'Release "{name}" has been upgraded. Happy Helming!\n')
    sys.stdout.write(_told(done))
    return 0


def _install_options(verb: str, words: Sequence[str]) -> argparse.Namespace:
    parser = _parser(verb, "Install a chart, or upgrade its release.")
    parser.add_argument("names", nargs="+", metavar="RELEASE CHART", help="name of the release, and the chart")
    for option in _RENDERING:
        short = ("-f", option) if option == "--values" else (option,)
        parser.add_argument(*short, action="append", default=[], metavar="X", help="as helm has it")
    for option in _SILENT:
        parser.add_argument(option, metavar="X", help="means nothing here")
    for option in _SILENT_FLAGS:
        parser.add_argument(option, action="store_true", help="means nothing here")
    parser.add_argument("-i", "--install", action="store_true", help="install it if it is not there")
    parser.add_argument("--wait", nargs="?", const="true", default="", metavar="X", help="until all pods are ready")
    parser.add_argument("--atomic", "--rollback-on-failure", action="store_true", help="go back if it fails")
    parser.add_argument("--reuse-values", action="store_true", help="begin with the values that the release has")
    parser.add_argument("--reset-then-reuse-values", action="store_true", help="likewise")
    parser.add_argument("--timeout", default=_SECONDS, metavar="S", help=f"how long pods may take ({_SECONDS})")
    parser.add_argument("--dry-run", nargs="?", const="client", default="", metavar="X", help="only render it")
    # helm's own options that may be without a value would take the release's name for it.
    plain = {"--wait": "--wait=true", "--dry-run": "--dry-run=client"}
    parsed = parser.parse_intermixed_args([plain.get(word, word) for word in words])
    if len(parsed.names) != 2:  # noqa: PLR2004 - these two
        raise InputError(f"helm {verb} takes the name of a release and a chart", hint=f"helm {verb} NAME CHART")
    require_name(parsed.names[0], "a release")
    require_name(parsed.namespace, "a namespace")
    return parsed


def _rendered(parsed: argparse.Namespace, before: Release | None) -> Release:
    name, chart = parsed.names
    with tempfile.NamedTemporaryFile("w", suffix=".json", prefix="values-", encoding="utf-8") as kept:
        options = _options(parsed)
        if before is not None and (parsed.reuse_values or parsed.reset_then_reuse_values):
            json.dump(before.values, kept)
            kept.flush()
            options = ["--values", kept.name, *options]
        request = ChartRequest(
            chart=chart, release=name, namespace=parsed.namespace, options=options, upgrade=before is not None
        )
        return deploy(request, aliases_of([], os.environ))


def _deployed(cluster: LocalCluster, release: Release, before: Release | None, parsed: argparse.Namespace) -> Release:
    wait = parsed.wait not in ("", "false", "hookOnly") or parsed.atomic
    try:
        return cluster.install(release, wait=wait, seconds=seconds_of(parsed.timeout))
    except BaseException:
        if parsed.atomic and before is not None:
            tell(f"going back to revision {before.revision} of {release.name}")
            cluster.install(replace(before, former=()))
        elif parsed.atomic:
            cluster.stop(release.namespace, release.name)
        raise


def _options(parsed: argparse.Namespace) -> list[str]:
    found = []
    for option in _RENDERING:
        for value in getattr(parsed, option.removeprefix("--").replace("-", "_")):
            found += [option, value]
    return found


def _uninstall(verb: str, words: Sequence[str]) -> int:
    parser = _parser(verb, "Take releases away.")
    parser.add_argument("names", nargs="+", metavar="RELEASE", help="names of releases")
    for option in ("--wait", "--keep-history", "--no-hooks", "--ignore-not-found", "--debug"):
        parser.add_argument(option, action="store_true", help="means nothing here")
    for option in ("--timeout", "--cascade", "--description"):
        parser.add_argument(option, metavar="X", help="means nothing here")
    parsed = parser.parse_intermixed_args(words)
    cluster = local_cluster(None)
    for name in parsed.names:
        try:
            left = cluster.stop(require_name(parsed.namespace, "a namespace"), require_name(name, "a release"))
        except NotFoundError:
            if parsed.ignore_not_found:
                continue
            raise
        if left:
            again = f"bannock k8s stop {name} -n {parsed.namespace} --volumes"
            tell(f"claims are left: {', '.join(left)}; to remove them: {again}")
        sys.stdout.write(f'release "{name}" uninstalled\n')
    return 0


def _list(verb: str, words: Sequence[str]) -> int:
    parser = _parser(verb, "List releases.")
    parser.add_argument("-A", "--all-namespaces", action="store_true", help="of all namespaces")
    parser.add_argument("-a", "--all", action="store_true", help="means nothing here")
    parser.add_argument("-q", "--short", action="store_true", help="names alone")
    parser.add_argument("-o", "--output", choices=("table", "json", "yaml"), default="table", help="its form")
    parser.add_argument("--filter", metavar="X", help="means nothing here")
    parsed = parser.parse_args(words)
    releases = local_cluster(None).book.all(None if parsed.all_namespaces else parsed.namespace)
    if parsed.short:
        sys.stdout.writelines(f"{each.name}\n" for each in releases)
        return 0
    head = ("name", "namespace", "revision", "updated", "status", "chart")
    rows = [
        (each.name, each.namespace, str(each.revision), each.updated, each.status, Path(each.chart).name)
        for each in releases
    ]
    if parsed.output == "table":
        sys.stdout.write(columns([[word.upper() for word in head], *rows]))
    else:
        _write([dict(zip(head, row, strict=True)) for row in rows], parsed.output)
    return 0


def _status(verb: str, words: Sequence[str]) -> int:
    parser = _parser(verb, "Tell how a release is.")
    parser.add_argument("name", metavar="RELEASE", help="its name")
    parsed = parser.parse_intermixed_args(words)
    sys.stdout.write(_told(local_cluster(None).book.get(parsed.namespace, parsed.name)))
    return 0


def _get(verb: str, words: Sequence[str]) -> int:
    parser = _parser(verb, "Tell what a release was made of.")
    parser.add_argument("what", choices=("values", "manifest"), help="values or manifest")
    parser.add_argument("name", metavar="RELEASE", help="its name")
    parser.add_argument("-a", "--all", action="store_true", help="also those that are the chart's own")
    parser.add_argument("-o", "--output", choices=("yaml", "json", "table"), default="yaml", help="its form")
    parsed = parser.parse_intermixed_args(words)
    release = local_cluster(None).book.get(parsed.namespace, parsed.name)
    if parsed.what == "values":
        _write(release.values, parsed.output)
    else:
        sys.stdout.write("".join(f"---\n{yaml.safe_dump(dict(each), sort_keys=False)}" for each in release.documents))
    return 0


def _rollback(verb: str, words: Sequence[str]) -> int:
    parser = _parser(verb, "Go back to what a release was.")
    parser.add_argument("name", metavar="RELEASE", help="its name")
    parser.add_argument("revision", nargs="?", type=int, default=0, metavar="REVISION", help="the one before")
    parser.add_argument("--wait", action="store_true", help="until all pods are ready")
    parser.add_argument("--timeout", default=_SECONDS, metavar="S", help=f"how long pods may take ({_SECONDS})")
    parsed = parser.parse_intermixed_args(words)
    cluster = local_cluster(None)
    release = cluster.book.get(parsed.namespace, parsed.name)
    former = [each for each in release.former if parsed.revision in (0, each["revision"])]
    if not former:
        raise NotFoundError(f"the release {release.name} was nothing before that is still known")
    past = former[-1]
    before = replace(
        release, chart=past["chart"], documents=past["documents"], values=past["values"], aliases=past["aliases"]
    )
    cluster.install(before, wait=parsed.wait, seconds=seconds_of(parsed.timeout))
    sys.stdout.write("Rollback was a success! Happy Helming!\n")
    return 0


def _told(release: Release) -> str:
    lines = [
        f"NAME: {release.name}",
        f"LAST DEPLOYED: {release.updated}",
        f"NAMESPACE: {release.namespace}",
        f"STATUS: {release.status}",
        f"REVISION: {release.revision}",
    ]
    return "".join(f"{line}\n" for line in lines)


def _write(document: Any, form: str) -> None:
    if form == "json":
        sys.stdout.write(f"{json.dumps(document)}\n")
    else:
        sys.stdout.write(yaml.safe_dump(json.loads(json.dumps(document)), sort_keys=False))
