"""Start an application as an enclave on this host: what ``bannock run`` and the launcher of an image do.

The order matters. The process becomes private while it has one thread; the application's process is forked before
there is a secret; the measured files are frozen before they are measured; the memory is hidden before secrets come.
"""

from __future__ import annotations

import datetime as dt
import json
import logging
import resource
import sys
from contextlib import nullcontext, suppress
from dataclasses import asdict, dataclass, field, replace
from importlib import import_module
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Final

from bannock import linux
from bannock.errors import BannockError, Bug, DeniedError, EnvironmentFault, render
from bannock.files import write_atomically
from bannock.policy.canonical import canonical_json
from bannock.policy.claims import SIMULATED
from bannock.policy.configuration import Configuration
from bannock.policy.host_arguments import fill_arguments, fill_environment
from bannock.runtime.attest import AttestedSession, FspfTagKeeper, VolumeTag
from bannock.runtime.banner import banner, wants_banner
from bannock.runtime.injection import inject
from bannock.runtime.keepers import Keepers
from bannock.runtime.known_trees import compared, keep_tree
from bannock.runtime.launcher import Launcher, end_descendants
from bannock.runtime.log import ATTESTATION_FAILED, log_to_stderr, refusal
from bannock.runtime.program import Program, freeze_program, require_measured_program
from bannock.runtime.root import KERNEL_TREES, PrivateRoot
from bannock.runtime.settings import (
    attestation_of,
    local_configuration,
    log_level,
    runs_locally,
    wants_hash,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from bannock.policy.canonical import JsonValue
    from bannock.runtime.attester import Attested, Observer
    from bannock.runtime.credentials import Credentials
    from bannock.runtime.injection import SecretSource
    from bannock.runtime.settings import Attestation, RunOptions
    from bannock.shield.volume import TagKeeper
    from bannock.values import FspfTag

__all__ = ["run"]

_log = logging.getLogger("bannock.runtime")

#: What a run needs once it is attested, in this order.
_LATER: Final = ("bannock.runtime.shields", "bannock.shield.fuse", "bannock.shield.memory")


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
    root = _enter(options)
    for bind in options.binds:
        root.bind(bind.host, bind.enclave)
    program = freeze_program(root, options.command, environment)
    manifest = program.manifest
    if what is None:
        tree = program.measure()
        keep_tree(tree, environment)
        sys.stdout.write(f"{tree.root}\n")
        return 0
    launcher = Launcher.fork()
    start = _Start(root=root, launcher=launcher, options=options, program=program, record=record)
    try:
        if isinstance(what, Configuration):
            _log.warning("nothing is attested: the host chose what runs, and has seen the key of the protection file")
            if wants_banner(environment):
                _print(banner(manifest.settings, program.measure().root, SIMULATED, environment))
            return _run_configured(start, what, Keepers(volume=_no_keeper, fspf=None), _no_secrets)
        ahead = Thread(target=_import_ahead, name="imports", daemon=True)
        ahead.start()
        with _establish(what, program, _Observer(record, manifest.settings, environment)) as session:
            ahead.join()
            configuration = _with_host_arguments(session.configuration, options.arguments, environment)
            if not configuration.argv:
                configuration = replace(configuration, argv=(manifest.binary,))
            require_measured_program(configuration.argv[0], manifest.binary)
            keepers = Keepers(volume=lambda name: VolumeTag(session, name), fspf=FspfTagKeeper(session))
            with _credentials(session, configuration) as credentials:
                return _run_configured(start, configuration, keepers, session.secrets, credentials)
    except BaseException:
        launcher.cancel()
        raise


def _import_ahead() -> None:
    """Import what comes later, while a LAS and a CAS do their work."""
    for name in _LATER:
        # Whoever needs it tells why it cannot be had.
        with suppress(ImportError):
            import_module(name)


def _enter(options: RunOptions) -> PrivateRoot:
    """Go to a private root; in an image, with its programs back in their places."""
    if not options.installed:
        return PrivateRoot.enter()
    # Imported here: nothing but an image has use for them.
    from bannock.runtime.container import missing_options  # noqa: PLC0415
    from bannock.runtime.originals import put_back  # noqa: PLC0415

    missing = missing_options()
    try:
        root = PrivateRoot.enter()
    except EnvironmentFault as error:
        raise EnvironmentFault(error.message, hint=missing) from error.__cause__
    put_back(root)
    return root


@dataclass(frozen=True, slots=True, kw_only=True)
class _Start:
    """What is there before anything is decided about the application."""

    root: PrivateRoot
    launcher: Launcher
    options: RunOptions
    program: Program
    record: Record


class _Observer:
    """Notes what was measured, before the CAS decides on it; says so once where that is asked for."""

    def __init__(self, record: Record, settings: Mapping[str, str], environment: Mapping[str, str]) -> None:
        self._record = record
        self._settings = settings
        self._environment = environment
        self._told = not wants_banner(environment)

    def __call__(self, attested: Attested) -> None:
        """Note it (:meth:`Record.measured`)."""
        self._record.measured(attested)
        if not self._told:
            self._told = True
            measurement, platform, debug = attested.measurement, attested.platform, attested.debug
            _print(banner(self._settings, measurement, platform, self._environment, debug=debug))


def _print(text: str) -> None:
    sys.stdout.write(text)
    # What the application prints comes after it.
    sys.stdout.flush()


def _establish(wanted: Attestation, program: Program, observer: Observer) -> AttestedSession:
    try:
        try:
            return AttestedSession.establish(wanted, program.manifest, observer)
        except DeniedError:
            # Whoever refused it has only hashes; what was signed is here.
            program.require_as_signed()
            raise
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


def _credentials(session: AttestedSession, configuration: Configuration) -> Credentials | nullcontext[None]:
    """Give who makes the files by which the service shows what it is, if there are any."""
    if not configuration.made_files:
        return nullcontext()
    # Few services have them, and all of them start.
    from bannock.runtime.credentials import Credentials  # noqa: PLC0415

    return Credentials(session, configuration, lambda: dt.datetime.now(dt.UTC))


def _run_configured(
    start: _Start,
    configuration: Configuration,
    keepers: Keepers,
    secrets: SecretSource,
    credentials: Credentials | None = None,
) -> int:
    """Open the volumes, start the application, wait for it, and keep what it changed."""
    # Imported here: see _LATER.
    from bannock.runtime.shields import Shields  # noqa: PLC0415

    _hide()
    root, record = start.root, start.record
    directories = start.options.volumes
    if start.options.installed:
        directories = {**{volume.name: Path(volume.path) for volume in configuration.volumes}, **directories}
    shields = Shields.open(configuration, directories, keepers, root.host, start.options.mount)
    record.mount, record.before = shields.kind.value, _texts(shields.before)
    try:
        if start.program.images:
            # Imported here: what reads archives is slow to import, and few enclaves have images.
            from bannock.runtime.image_root import mount_images  # noqa: PLC0415

            shields.require_no_root()
            mount_images(root, start.program.images)
        shields.mount(root, _mounted_later(start, configuration))
        root.freeze_top(start.program.links)
        inject(configuration.files, root, secrets)
        if credentials is not None:
            credentials.place(root)
        start.launcher.start(
            start.program.manifest.binary,
            configuration.argv,
            configuration.environment,
            _directory(root, configuration, local=keepers.fspf is None),
            root=root.top,
            entries=start.program.entries,
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
    frozen = [(name, False) for name in start.program.links]
    # A file without content is there already: what is to be mounted on is made, and that is to fail.
    files = [(file.path, False) for file in configuration.files if file.content is not None]
    files += [(path, False) for path in configuration.made_files]
    return [*trees, *frozen, *files]


def _no_keeper(_: str) -> TagKeeper:
    raise Bug("a run without a session has no volumes")


def _no_secrets(_: Collection[str]) -> Mapping[str, bytes]:
    raise Bug("a run without a session has no secrets")


def _hide() -> None:
    """Keep what comes now out of core dumps and away from debuggers."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    linux.hide_memory()


def _texts(tags: Mapping[str, FspfTag | None]) -> dict[str, str | None]:
    return {name: None if tag is None else str(tag) for name, tag in tags.items()}
