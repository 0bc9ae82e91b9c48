"""The options of ``sconify_image``: those of the public reference, and what they ask for."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bannock.cli.options import Parser, pairs
from bannock.cli.sconefile import sconefile_text, with_sconefiles
from bannock.cli.sconify_chart import add_chart_options, chart_request
from bannock.errors import InputError
from bannock.files import read_bounded
from bannock.identity.settings import normal_settings
from bannock.images.sconify.options import (
    PROTECTION_PATH,
    Places,
    SconifyOptions,
    SessionVolume,
    absolute,
    protected_directory,
    session_name,
)
from bannock.images.sconify.session import HOOKS

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping, Sequence

    from bannock.cli.sconify_chart import ChartRequest

__all__ = ["Request", "options_parser", "parse"]

_DESCRIPTION: Final = """\
Make a protected image of a native one: its program starts as an enclave, its directories are encrypted, and what it is
started with comes from a session, which is made and uploaded to a CAS. Nothing of it is run, but for --trace=auto.

Images are NAME[:TAG] (of the container engine, else of a registry), docker://HOST/NAME:TAG, oci:DIRECTORY[:TAG],
oci-archive:FILE and docker-archive:FILE. The name of the session is the only line on standard output.

The parts of the session that $SECRETS and $INJECTED_FILES stand for in its template come from the environment."""
_EXAMPLES: Final = """\
  sconify_image --from=native_flask --to=flask --binary=/usr/bin/python3 --dir=/app --cas=cas.example.com \\
      --namespace=my-company --create-namespace --name=flask
  sconify_image --from=app --to=registry.example.com/app --binary=/app/server --push-image --disable-session-upload
  sconify_image --from=app --to=measured --binary=/usr/bin/python3 --binary-fs --fs-dir=/app --host-path=/etc/hosts"""
#: Option → variable, the default of the public reference, what it is.
_SETTINGS: Final = {
    "--heap": ("SCONE_HEAP", "1G", "heap size"),
    "--stack": ("SCONE_STACK", "1M", "stack size"),
    "--dlopen": ("SCONE_ALLOW_DLOPEN", "1", "libraries loaded later: 0 none, 1 protected ones, 2 any"),
    "--fork": ("SCONE_FORK", "0", "fork: 0 off, 1 on"),
}
_WITHOUT_EFFECT: Final = (
    "--disable-binary-symlink-detection", "--disable-copy-shared-object-dependencies",
    "--disable-copy-service-libraries", "--disable-replace-unsconifiable-binaries",
    "--disable-ld-library-path-in-session",
)  # fmt: skip
_WEAKNESSES: Final = (
    "hyperthreading", "insecure-igpu", "outdated-tcb", "software-hardening-needed", "insecure-configuration",
)  # fmt: skip
_AZURE: Final = re.compile(r"https://[A-Za-z0-9-]{1,63}\.[A-Za-z0-9-]{1,63}\.attest\.azure\.net/?")
_TEXT_BYTES_MAX: Final = 4 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What a command line asks for.

    Attributes:
        source, target, base: references of images; no base: the native image's own files.
        options: of the conversion.
        trace: where more directories to encrypt come from: ``auto``, or a log; None: from nowhere.
        hooks: parts of the session.
        template: text of another template; None: the built-in one.
        session_file: where the session is written to; None: nowhere.
        signer: private key that signs the program.
        namespace: that is to be created; None: none.
        upload: whether the session goes to a CAS.
        update: whether a session that is there is replaced.
        push: whether the image goes to its registry, too.
        dry_run: whether nothing is to be made.
        verbose: whether to tell everything.
        sconefile: what is asked for as a file, if that is to be printed alone.
        chart: the chart that is to be made; None: none.
        parsed: the options for the CAS.
    """

    source: str
    target: str
    base: str | None
    options: SconifyOptions
    trace: str | None
    hooks: Mapping[str, str]
    template: str | None
    session_file: Path | None
    signer: Path | None
    namespace: str | None
    upload: bool
    update: bool
    push: bool
    dry_run: bool
    verbose: bool
    sconefile: str | None
    chart: ChartRequest | None
    parsed: argparse.Namespace


def parse(command: str, arguments: Sequence[str], environment: Mapping[str, str], *, iexec: bool) -> Request:
    """Parse a command line.

    Args:
        command: what the program is called.
        arguments: of it.
        environment: where defaults and parts of the session come from.
        iexec: whether sessions are uploaded only where that is asked for.

    Raises:
        InputError: something in it cannot be.
    """
    parser = options_parser(command, iexec=iexec)
    parsed = parser.parse_args(with_sconefiles(arguments))
    name = parsed.name or session_name(parsed.target)
    session = f"{parsed.namespace}/{name}" if parsed.namespace else name
    if parsed.create_namespace and not parsed.namespace:
        raise InputError("--create-namespace needs the name of one: --namespace=NAMESPACE")
    parsed.cas = parsed.cas or environment.get("SCONE_CAS_ADDR") or None
    return Request(
        source=parsed.source,
        target=parsed.target,
        base=parsed.base,
        options=_options(parsed, environment, session),
        trace=parsed.trace,
        hooks=_hooks(parsed, environment),
        template=None if parsed.template is None else _text(parsed.template),
        session_file=parsed.session_file,
        signer=parsed.signer,
        namespace=parsed.namespace if parsed.create_namespace else None,
        upload=parsed.upload if iexec else not parsed.no_upload,
        update=not parsed.no_update,
        push=parsed.push,
        dry_run=parsed.dry_run or parsed.sconefile,
        verbose=parsed.verbose,
        sconefile=sconefile_text(parser, parsed) if parsed.sconefile else None,
        chart=chart_request(parsed),
        parsed=parsed,
    )


def options_parser(command: str, *, iexec: bool) -> Parser:
    """Return the parser of a command line, with all options."""
    parser = Parser("", _DESCRIPTION, _EXAMPLES, command=command)
    # All options would hide the line that says what is wrong.
    parser.usage = f"{command} --from=IMAGE --to=IMAGE --binary=PATH [OPTION...]; {command} --help has the options"
    _add_images(parser)
    _add_paths(parser)
    _add_session(parser)
    _add_cas(parser, iexec=iexec)
    _add_settings(parser)
    add_chart_options(parser)
    return parser


def _add_images(parser: Parser) -> None:
    parser.add_argument("--from", dest="source", required=True, metavar="IMAGE", help="the native image")
    parser.add_argument("--to", dest="target", required=True, metavar="IMAGE", help="the protected image")
    parser.add_argument("--base", metavar="IMAGE", help="make it on this image (on the native one's own files)")
    parser.add_argument("--binary", required=True, metavar="PATH", help="the program that becomes an enclave")
    parser.add_argument("--push-image", dest="push", action="store_true", help="push the image to its registry")
    parser.add_argument(
        "--scone-signer", dest="signer", type=Path, metavar="KEY", help="sign the program with this key"
    )
    parser.add_argument("--dry-run", action="store_true", help="tell what would be done, and do nothing")
    parser.add_argument(
        "--generate-sconefile",
        dest="sconefile",
        action="store_true",
        help="print what is asked for as YAML, to keep it or for --sconefile, and do nothing",
    )
    parser.add_argument("--sconefile", dest="read", metavar="FILE", help="take options from such a file, too")
    parser.add_argument("-v", "--verbose", action="store_true", help="show the session, too, without its keys")
    parser.add_argument("-x", "--debug", action="store_true", help="the same as --verbose")
    parser.add_argument("--no-color", action="store_true", help="write no colours, as NO_COLOR=1 does")
    parser.add_argument("-q", "--quiet", action="store_true", help="tell nothing but warnings and the session's name")
    parser.add_argument("--cli", metavar="IMAGE", help="taken for compatibility: no image is needed for this")
    parser.add_argument("--crosscompiler", metavar="IMAGE", help="likewise")
    for name in _WITHOUT_EFFECT:
        parser.add_argument(name, action="store_true", help="taken for compatibility: there is nothing to switch off")


def _add_paths(parser: Parser) -> None:
    for name, metavar, what in (
        ("--dir", "DIRECTORY", "encrypt a directory, with all below it"),
        ("--authenticate", "DIRECTORY", "leave a directory as it is, and find out whoever changes it"),
        ("--ephemeral", "DIRECTORY", "have a directory in memory, empty at each start"),
        ("--plain", "DIRECTORY", "leave a directory in clear on purpose; with --base: take it along"),
        ("--plain-file", "FILE", "the same for a file"),
        ("--fs-dir", "DIRECTORY", "put a directory into the file-system image"),
        ("--fs-file", "FILE", "put a file into it"),
        ("--host-path", "PATH", "show the container's own path in it, unprotected (/etc/hosts, /etc/resolv.conf)"),
    ):
        parser.add_argument(name, action="append", default=[], metavar=metavar, help=f"{what} (several times)")
    parser.add_argument(
        "--fspf", default=PROTECTION_PATH, metavar="FILE", help=f"put the protection file here ({PROTECTION_PATH})"
    )
    parser.add_argument(
        "--trace",
        metavar="auto|FILE",
        help="find out which directories to encrypt: run the image once under strace, or read a log of strace -f",
    )
    parser.add_argument(
        "--binary-fs", action="store_true", help="make the root a file-system image, which is measured"
    )
    parser.add_argument(
        "--disable-binary-fs-defaults", action="store_true", help="put only what is named into it, and no libraries"
    )


def _add_session(parser: Parser) -> None:
    parser.add_argument("--name", metavar="SESSION", help="name of the session (that of the image, without slashes)")
    parser.add_argument("--namespace", metavar="NAMESPACE", help="the namespace that the session is in")
    parser.add_argument("--create-namespace", action="store_true", help="create the namespace, if it is not there")
    parser.add_argument("--service-name", default="service", metavar="NAME", help="name of the service (service)")
    parser.add_argument("--command", metavar="COMMAND", help="what is started (what the native image starts)")
    parser.add_argument(
        "--env", action="append", default=[], metavar="NAME=VALUE", help="a variable of the session (several times)"
    )
    parser.add_argument("--disable-copy-envvars", action="store_true", help="leave out the variables of the image")
    parser.add_argument(
        "--volume",
        action="append",
        default=[],
        metavar="NAME:PATH[:[FROM][:TO...]]",
        help="an encrypted volume, imported from a session or exported to others (several times)",
    )
    parser.add_argument("--template", type=Path, metavar="FILE", help="another template for the session")
    parser.add_argument(
        "--session", dest="session_file", type=Path, metavar="FILE", help="write the session here, too"
    )
    parser.add_argument("--secrets", type=Path, metavar="FILE", help="what $SECRETS stands for (the variable SECRETS)")
    parser.add_argument(
        "--injectedfiles", type=Path, metavar="FILE", help="what $INJECTED_FILES stands for (likewise)"
    )
    parser.add_argument(
        "--allow-tcb-vulnerabilities", action="store_true", help="accept machines with known weaknesses"
    )
    parser.add_argument(
        "--allow-debug-mode", action="store_true", help="accept enclaves in debug mode, and simulation: not secure"
    )
    parser.add_argument(
        "--azure-attestation",
        dest="azure",
        metavar="URL",
        help="have Microsoft's attestation service of that address appraise machines; it alone judges their TCB",
    )
    parser.add_argument(
        "--disable-session-security-attestation",
        action="store_true",
        dest="any_service",
        help="give the secrets to any program whatever: not secure",
    )


def _add_cas(parser: Parser, *, iexec: bool) -> None:
    parser.add_argument("--cas", metavar="ADDRESS", help="the CAS ($SCONE_CAS_ADDR, or the default one)")
    parser.add_argument(
        "--cas-in-image", metavar="ADDRESS", help="where containers reach it, if that is another address"
    )
    parser.add_argument("--las", metavar="ADDRESS", help="where containers reach the LAS")
    parser.add_argument("--cas-debug", action="store_true", help="accept a CAS in debug mode, or simulated")
    parser.add_argument(
        "--disable-attestation", dest="not_attested", action="store_true", help="do not attest the CAS: not secure"
    )
    parser.add_argument("--identity", type=Path, metavar="FILE", help="who asks: PEM private key and certificate")
    parser.add_argument("--retries", metavar="COUNT", help="how often to try again when the network fails")
    parser.add_argument(
        "--disable-update-session-if-exists",
        dest="no_update",
        action="store_true",
        help="fail if there is a session of that name",
    )
    parser.add_argument(
        "--disable-session-upload", dest="no_upload", action="store_true", help="do not upload the session"
    )
    if iexec:
        parser.add_argument(
            "--enable-session-upload", dest="upload", action="store_true", help="upload the session to the CAS"
        )


def _add_settings(parser: Parser) -> None:
    for option, (variable, default, what) in _SETTINGS.items():
        parser.add_argument(option, dest=variable, metavar="VALUE", help=f"{what} [{variable}] (default {default})")
    parser.add_argument("--log", metavar="LEVEL", help="trace, info, warning, error or fatal [SCONE_LOG]")


def _options(parsed: argparse.Namespace, environment: Mapping[str, str], session: str) -> SconifyOptions:
    tolerate = [*(_WEAKNESSES if parsed.allow_tcb_vulnerabilities else ())]
    if parsed.allow_debug_mode:
        tolerate += ["debug-mode", "simulation"]
    elif environment.get("SCONE_MODE", "").lower() == "sim":
        tolerate.append("simulation")
    if parsed.azure is not None:
        if not _AZURE.fullmatch(parsed.azure):
            raise InputError(
                f"--azure-attestation is https://NAME.REGION.attest.azure.net, found {parsed.azure[:200]!r}"
            )
        if parsed.any_service:
            raise InputError("--azure-attestation attests, and --disable-session-security-attestation switches it off")
        tolerate.append("maa-managed-tcb")
    settings = {
        variable: getattr(parsed, variable) or environment.get(variable) or default
        for variable, default, _ in _SETTINGS.values()
    }
    normal_settings(settings)
    return SconifyOptions(
        binary=absolute("--binary", parsed.binary),
        places=Places(
            directories=tuple(map(protected_directory, parsed.dir)),
            authenticated=tuple(
                protected_directory(path, option="--authenticate", besides=("/etc",)) for path in parsed.authenticate
            ),
            ephemeral=tuple(protected_directory(path, option="--ephemeral") for path in parsed.ephemeral),
            image_directories=_paths("--fs-dir", parsed.fs_dir),
            image_files=_paths("--fs-file", parsed.fs_file),
            host_paths=_paths("--host-path", parsed.host_path),
            plain_directories=_paths("--plain", parsed.plain),
            plain_files=_paths("--plain-file", parsed.plain_file),
        ),
        binary_fs=parsed.binary_fs,
        image_defaults=not parsed.disable_binary_fs_defaults,
        settings=settings,
        log=parsed.log,
        command=None if parsed.command is None else _words(parsed.command),
        environment=pairs("--env", parsed.env),
        copy_environment=not parsed.disable_copy_envvars,
        session=session,
        service=parsed.service_name,
        protection_file=absolute("--fspf", parsed.fspf),
        cas=parsed.cas_in_image or _host_of(parsed.cas),
        las=parsed.las,
        volumes=tuple(map(SessionVolume.parse, parsed.volume)),
        tolerate=tuple(tolerate),
        any_service=parsed.any_service,
        azure=parsed.azure,
    )


def _paths(option: str, texts: Sequence[str]) -> tuple[str, ...]:
    return tuple(absolute(option, text) for text in texts)


def _words(text: str) -> tuple[str, ...]:
    try:
        words = tuple(shlex.split(text))
    except ValueError as error:
        raise InputError(f"--command cannot be split into words: {error}") from None
    if not words:
        raise InputError("--command is empty")
    return words


def _host_of(address: str | None) -> str | None:
    """Return the host of a CAS: clients and enclaves reach it at different ports."""
    if address is None:
        return None
    plain = address.removeprefix("https://").rstrip("/")
    return plain.partition("]")[0] + "]" if plain.startswith("[") else plain.partition(":")[0]


def _hooks(parsed: argparse.Namespace, environment: Mapping[str, str]) -> dict[str, str]:
    files = {"SECRETS": parsed.secrets, "INJECTED_FILES": parsed.injectedfiles}
    return {name: environment.get(name, "") if files[name] is None else _text(files[name]) for name in HOOKS}


def _text(path: Path) -> str:
    try:
        return read_bounded(path, _TEXT_BYTES_MAX).decode("utf-8")
    except UnicodeDecodeError:
        raise InputError(f"{path} is not UTF-8 text") from None
