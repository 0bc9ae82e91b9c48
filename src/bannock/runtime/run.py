"""Start an application as an enclave on this host: what ``bannock run`` and the launcher of an image do.

The order matters. The process becomes private while it has one thread; the application's process is forked before
there is a secret; the measured files are frozen before they are measured; the memory is hidden before secrets come.
"""

from __future__ import annotations

import json
import logging
import os
import resource
import sys
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bannock import linux
from bannock.errors import BannockError, Bug, DeniedError, InputError, render
from bannock.files import write_atomically
from bannock.identity.manifest import EnclaveManifest
from bannock.identity.measure import measure, runtime_build
from bannock.identity.measured import start_of
from bannock.identity.reader import RootedReader
from bannock.policy.canonical import canonical_json
from bannock.policy.claims import SIMULATED
from bannock.policy.configuration import Configuration
from bannock.policy.host_arguments import fill_arguments, fill_environment
from bannock.runtime.attest import AttestedSession, FspfTagKeeper, VolumeTag
from bannock.runtime.injection import inject
from bannock.runtime.known_trees import compared, keep_tree
from bannock.runtime.launcher import Launcher, end_descendants
from bannock.runtime.log import ATTESTATION_FAILED, log_to_stderr, refusal
from bannock.runtime.places import Keepers
from bannock.runtime.root import KERNEL_TREES, PrivateRoot
from bannock.runtime.settings import (
    attestation_of,
    enclave_settings,
    local_configuration,
    log_level,
    runs_locally,
    wants_hash,
)
from bannock.runtime.shields import Shields

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from bannock.policy.canonical import JsonValue
    from bannock.runtime.attester import Attested
    from bannock.runtime.injection import SecretSource
    from bannock.runtime.settings import Attestation, RunOptions
    from bannock.shield.volume import TagKeeper
    from bannock.values import FspfTag

__all__ = ["run"]

_log = logging.getLogger("bannock.runtime")

#: Where programs of a bundle and of the system are looked for, if they are not named by their path.
_SEARCH: Final = "/app/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(slots=True)
class Record:
    """What happened in a run, without secrets: for whoever started it."""

    mrenclave: str | None = None
    tree: JsonValue = None
    platform: str | None = None
    mount: str | None = None
    before: Mapping[str, str | None] = field(default_factory=dict)
    after: Mapping[str, str | None] = field(default_factory=dict)
    exit_code: int | None = None
    error: list[str] = field(default_factory=list)

    def measured(self, attested: Attested) -> None:
        """Note what was measured, before the CAS decides on it."""
        self.mrenclave, self.platform = str(attested.measurement), attested.platform
        self.tree = None if attested.tree is None else json.loads(attested.tree.to_json())
        if attested.platform == SIMULATED:
            _log.warning("platform sim protects nothing: whoever rules this host reads what the application sees")


def run(options: RunOptions, environment: Mapping[str, str]) -> int:
    """Run an application and return its exit code, or the one of the error that kept it from running.

    With ``SCONE_HASH=1`` MRENCLAVE is printed instead and nothing is run. Errors go to standard error.
    """
    record, note = Record(), ""
    try:
        log_to_stderr(log_level(environment))
        local = runs_locally(environment) and not wants_hash(environment)
        attestation = None if wants_hash(environment) or local else attestation_of(environment)
        if attestation is not None:
            note = (
                f"Note: Connecting to CAS at {attestation.cas.host} (port {attestation.cas.port}) "
                f"using service ID {attestation.service_id}"
            )
        configuration = (
            local_configuration([options.command, *options.arguments], environment, str(Path.cwd())) if local else None
        )
        code = _run(options, attestation or configuration, environment, record)
    except BannockError as error:
        code = error.exit_code
        record.error = render(error)
        tree = None if record.tree is None else canonical_json(record.tree)
        sys.stderr.write(f"{refusal(error, note, compared(error, tree, environment))}\n")
    record.exit_code = code
    if options.record is not None:
        write_atomically(options.record, json.dumps(asdict(record), indent=2).encode())
    return code


def _run(
    options: RunOptions, what: Attestation | Configuration | None, environment: Mapping[str, str], record: Record
) -> int:
    root = PrivateRoot.enter()
    for bind in options.binds:
        root.bind(bind.host, bind.enclave)
    manifest, links = _freeze(root, options.command, enclave_settings(environment))
    if what is None:
        tree = measure(manifest, RootedReader(Path("/")), runtime_build())
        keep_tree(tree, environment)
        sys.stdout.write(f"{tree.root}\n")
        return 0
    launcher = Launcher.fork()
    start = _Start(root=root, launcher=launcher, options=options, binary=manifest.binary, links=links, record=record)
    try:
        if isinstance(what, Configuration):
            _log.warning("nothing is attested: the host chose what runs, and has seen the key of the protection file")
            return _run_configured(start, what, Keepers(volume=_no_keeper, fspf=None), _no_secrets)
        with _establish(what, manifest, record) as session:
            configuration = _with_host_arguments(session.configuration, options.arguments, environment)
            if not configuration.argv:
                configuration = replace(configuration, argv=(manifest.binary,))
            _require_measured(configuration.argv[0], manifest.binary)
            keepers = Keepers(volume=lambda name: VolumeTag(session, name), fspf=FspfTagKeeper(session))
            return _run_configured(start, configuration, keepers, session.secrets)
    except BaseException:
        launcher.cancel()
        raise


@dataclass(frozen=True, slots=True, kw_only=True)
class _Start:
    """What is there before anything is decided about the application."""

    root: PrivateRoot
    launcher: Launcher
    options: RunOptions
    binary: str
    links: Mapping[str, str]
    record: Record


def _establish(wanted: Attestation, manifest: EnclaveManifest, record: Record) -> AttestedSession:
    try:
        return AttestedSession.establish(wanted, manifest, record.measured)
    except BannockError as error:
        raise type(error)(ATTESTATION_FAILED) from error


def _with_host_arguments(
    configuration: Configuration, given: Sequence[str], environment: Mapping[str, str]
) -> Configuration:
    """Put in what the session leaves to the host, and nothing else of the host's."""
    return replace(
        configuration,
        argv=fill_arguments(configuration.argv, configuration.host_arguments, given),
        environment=fill_environment(configuration.environment, configuration.host_environment, environment),
        host_arguments=(),
        host_environment=(),
    )


def _run_configured(start: _Start, configuration: Configuration, keepers: Keepers, secrets: SecretSource) -> int:
    """Open the volumes, start the application, wait for it, and keep what it changed."""
    _hide()
    root, record = start.root, start.record
    shields = Shields.open(configuration, start.options.volumes, keepers, root.host, start.options.mount)
    record.mount, record.before = shields.kind.value, _texts(shields.before)
    try:
        shields.mount(root, _mounted_later(start, configuration))
        root.freeze_top(start.links)
        inject(configuration.files, root, secrets)
        start.launcher.start(
            start.binary,
            configuration.argv,
            configuration.environment,
            _directory(root, configuration, local=keepers.fspf is None),
            root=root.top,
        )
        code = start.launcher.wait()
    finally:
        end_descendants()
        record.after = _texts(shields.finish())
    return code


def _directory(root: PrivateRoot, configuration: Configuration, *, local: bool) -> str:
    """Return where the application starts: a directory that the host chose need not be in the application's root."""
    wanted = configuration.working_directory
    return "/" if local and not root.outer(Path(wanted)).is_dir() else wanted


def _mounted_later(start: _Start, configuration: Configuration) -> list[tuple[str, bool]]:
    """Return what is mounted besides regions and volumes, and whether each is a directory."""
    trees = [(str(tree), True) for tree in KERNEL_TREES]
    frozen = [(name, False) for name in start.links]
    # A file without content is there already: what is to be mounted on is made, and that is to fail.
    files = [(file.path, False) for file in configuration.files if file.content is not None]
    return [*trees, *frozen, *files]


def _no_keeper(_: str) -> TagKeeper:
    raise Bug("a run without a session has no volumes")


def _no_secrets(_: Collection[str]) -> Mapping[str, bytes]:
    raise Bug("a run without a session has no secrets")


def _freeze(root: PrivateRoot, command: str, settings: Mapping[str, str]) -> tuple[EnclaveManifest, Mapping[str, str]]:
    """Find what decides how the program starts, and keep it from changing; give other names of these files too."""
    reader = RootedReader(Path("/"))
    binary = reader.resolve(_find(command))
    found = start_of(binary, reader)
    root.freeze(found.files)
    if start_of(binary, reader) != found:
        raise InputError(f"{binary} or one of its libraries changed while it was measured")
    return EnclaveManifest(binary=binary, settings=settings), {**{path: path for path in found.files}, **found.links}


def _find(command: str) -> str:
    """Return the path of a program in the private root."""
    if "/" in command:
        return os.path.abspath(command)  # noqa: PTH100 # links are resolved later, within the root
    for directory in _SEARCH.split(os.pathsep):
        candidate = Path(directory) / command
        if candidate.is_file() and os.access(candidate, os.X_OK):
            return str(candidate)
    raise InputError(f"there is no program {command!r} in {_SEARCH}", hint="name it by its path in the enclave")


def _require_measured(program: str, binary: str) -> None:
    """Refuse a session whose command is another program than the one that was measured."""
    found = RootedReader(Path("/")).resolve(_find(program))
    if found != binary:
        raise DeniedError(
            f"the session runs {program!r}, which is {found} here, and what was measured and attested is {binary}",
            hint="start the program that the session names, or change the session's command",
        )


def _hide() -> None:
    """Keep what comes now out of core dumps and away from debuggers."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    linux.hide_memory()


def _texts(tags: Mapping[str, FspfTag | None]) -> dict[str, str | None]:
    return {name: None if tag is None else str(tag) for name, tag in tags.items()}
