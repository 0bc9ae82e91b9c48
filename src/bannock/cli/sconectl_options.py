"""Options of ``sconectl apply``: those that all manifests have, and those of a kind."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bannock.cli.options import Parser
from bannock.errors import InputError
from bannock.files import read_bounded

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["ApplyOptions", "filename_in", "manifest_text", "parse_apply", "parser_of"]

_DESCRIPTIONS: Final = {
    "genservice": "Make the image of a service, with its code measured, and push it.",
    "mesh": "Make policies and a Helm chart of the services of a mesh, and upload the policies.",
    "": "Make what a manifest describes. With -f FILE, --help has the options of the kind of that manifest alone.",
}
_OF_SERVICES: Final = """\
  sconectl apply -f service.yaml
  sconectl apply -f service.yaml --print-defaults
  sconectl apply -f service.yaml --no-push -v"""
_OF_MESHES: Final = """\
  sconectl apply -f mesh.yaml --release pythonapp
  sconectl apply -f mesh.yaml --print-defaults"""
_EXAMPLES: Final = {
    "genservice": _OF_SERVICES,
    "mesh": _OF_MESHES,
    "": f"{_OF_SERVICES}\n{_OF_MESHES}\n  sconectl apply --help -f mesh.yaml",
}
#: ``-n`` is about pushing for services, and about fetching for meshes.
_NO_TRANSFER: Final = {
    "genservice": (("-n", "--no-push"), "do not push the image to its registry"),
    "mesh": (("-n", "--no-pull"), "do not fetch the images of services anew"),
    "": (("-n", "--no-push", "--no-pull"), "services: do not push the image; meshes: do not fetch images anew"),
}
_BYTES_MAX: Final = 1 << 20
_MODES: Final = ("production", "debug")


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplyOptions:
    """What a command line of ``apply`` asks for.

    Attributes:
        filename: the manifest.
        target: directory for what is made.
        mode: ``production`` or ``debug``.
        dry_run: whether nothing leaves this machine.
        print_defaults: whether variables and their defaults are printed, and nothing is done.
        verbose: how much is told, from 0; -1 for nothing but results.
        version: tag of images of ``repository``.
        repository: registry of images to build on.
        push: whether images are pushed.
        base: image to build on, whatever the manifest says.
        helm_template: directory of a chart that replaces the generated one.
        pull: whether images of services are fetched anew.
        release: name of the release of the chart.
        output: ``helm_chart`` or ``yaml``.
        maa: address of Microsoft's attestation service.
        policy_namespace: namespace of the policies, in place of the manifest's.
        rolling: whether policies accept the version before, too.
        digests: whether the chart names images by their digests, too.
        extra: options that are added by others (``sconectl_mesh``).
    """

    filename: Path
    target: Path
    mode: str
    dry_run: bool
    print_defaults: bool
    verbose: int
    version: str | None
    repository: str | None
    push: bool
    base: str | None
    helm_template: Path | None
    pull: bool
    release: str | None
    output: str
    maa: str | None
    policy_namespace: str | None
    rolling: bool
    digests: bool
    extra: argparse.Namespace


def parser_of(kind: str) -> Parser:
    """Return the parser for manifests of a kind; for no kind, that of all options."""
    parser = Parser("apply", _DESCRIPTIONS[kind], _EXAMPLES[kind], command="sconectl", short_help=kind == "mesh")
    parser.add_argument(
        "-f", "--filename", type=Path, metavar="FILE", help="the manifest (Manifest.yaml, or Meshfile.yaml)"
    )
    parser.add_argument("-d", "--dry-run", action="store_true", help="make everything, and push and upload nothing")
    parser.add_argument("--mode", choices=_MODES, default="production", help="may a debugger look in? (production)")
    parser.add_argument(
        "-p", "--print-defaults", action="store_true", help="print the variables, with their defaults, and do nothing"
    )
    parser.add_argument("-q", "--quiet", action="count", default=0, help="tell less")
    parser.add_argument("-v", "--verbose", action="count", default=0, help="tell more")
    parser.add_argument(
        "-t", "--target-directory", type=Path, default=Path("target"), metavar="DIRECTORY",
        help="where what is made is put (target)",
    )  # fmt: skip
    parser.add_argument(
        "--set-version", metavar="VERSION", help="tag of the images of $SCONECTL_REPO that are built on (latest)"
    )
    if kind != "mesh":
        _add_service(parser)
    if kind != "genservice":
        _add_mesh(parser)
    else:
        # Scripts give all manifests the same options.
        parser.add_argument("--release", help=argparse.SUPPRESS)
    names, what = _NO_TRANSFER[kind]
    parser.add_argument(*names, dest="no_transfer", action="store_true", help=what)
    parser.add_argument("--host-pwd", help="taken for compatibility: this runs on the host")
    return parser


def _add_service(parser: Parser) -> None:
    parser.add_argument(
        "-h",
        "--helm-template",
        type=Path,
        metavar="DIRECTORY",
        help="not taken: meshes name charts (helm_chart)",
    )
    parser.add_argument("--base", metavar="IMAGE", help="the image to build on, whatever the manifest says")


def _add_mesh(parser: Parser) -> None:
    parser.add_argument("--release", metavar="NAME", help="name of the release of the chart")
    parser.add_argument(
        "-o", "--output", choices=("helm_chart", "yaml"), default="helm_chart",
        help="yaml: what the chart makes, too, in the directory manifests of the target (helm_chart)",
    )  # fmt: skip
    parser.add_argument("-m", "--maa", metavar="URL", help="have Microsoft's attestation service appraise machines")
    parser.add_argument("--policy-namespace", metavar="NAME", help="namespace of the policies (the manifest's)")
    parser.add_argument(
        "--rolling", action="store_true",
        help="let the version before go on running: policies accept it until an apply without this option",
    )  # fmt: skip
    parser.add_argument(
        "--digests", action="store_true",
        help="have the chart name images by their digests: clusters run what was measured here, and nothing else",
    )  # fmt: skip
    parser.add_argument("--otp", help="taken for compatibility: images are signed when they are made")


def manifest_text(path: Path) -> str:
    """Read a manifest.

    Raises:
        InputError: it cannot be read, or is no text.
    """
    try:
        return read_bounded(path, _BYTES_MAX).decode("utf-8")
    except UnicodeDecodeError:
        raise InputError(f"{path} is not UTF-8 text") from None


def parse_apply(parsed: argparse.Namespace, filename: Path, environment: Mapping[str, str]) -> ApplyOptions:
    """Turn what was parsed into what is asked for.

    Raises:
        InputError: something in it cannot be.
    """
    return ApplyOptions(
        filename=filename,
        target=parsed.target_directory,
        mode=parsed.mode,
        dry_run=parsed.dry_run,
        print_defaults=parsed.print_defaults,
        verbose=-1 if parsed.quiet else parsed.verbose,
        version=parsed.set_version,
        repository=environment.get("SCONECTL_REPO") or None,
        push=not (parsed.no_transfer or parsed.dry_run),
        base=getattr(parsed, "base", None),
        helm_template=getattr(parsed, "helm_template", None),
        pull=not parsed.no_transfer and "SCONECTL_NOPULL" not in environment,
        release=getattr(parsed, "release", None),
        output=getattr(parsed, "output", "helm_chart"),
        maa=getattr(parsed, "maa", None),
        policy_namespace=getattr(parsed, "policy_namespace", None),
        rolling=getattr(parsed, "rolling", False),
        digests=getattr(parsed, "digests", False),
        extra=parsed,
    )


def filename_in(arguments: Sequence[str]) -> Path | None:
    """Find the manifest that a command line names, before its options are known."""
    for index, argument in enumerate(arguments):
        if argument in {"-f", "--filename"} and index + 1 < len(arguments):
            return Path(arguments[index + 1])
        if argument.startswith("--filename="):
            return Path(argument.removeprefix("--filename="))
        if argument.startswith("-f") and not argument.startswith("--") and len(argument) > len("-f"):
            return Path(argument.removeprefix("-f"))
    return None
