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
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bannock import linux
from bannock.errors import BannockError, DeniedError, InputError, render
from bannock.files import write_atomically
from bannock.identity.manifest import EnclaveManifest
from bannock.identity.measure import measure, runtime_build
from bannock.identity.measured import measured_files
from bannock.identity.reader import RootedReader
from bannock.policy.claims import SIMULATED
from bannock.runtime.attest import AttestedSession, VolumeTag
from bannock.runtime.launcher import Launcher, end_descendants
from bannock.runtime.log import log_to_stderr, refusal
from bannock.runtime.root import PrivateRoot
from bannock.runtime.settings import attestation_of, enclave_settings, log_level, wants_hash
from bannock.runtime.shields import Shields

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bannock.identity.tree import MeasurementTree
    from bannock.runtime.settings import Attestation, RunOptions
    from bannock.values import FspfTag

__all__ = ["run"]

_log = logging.getLogger("bannock.runtime")

#: Where programs of a bundle and of the system are looked for, if they are not named by their path.
_SEARCH: Final = "/app/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(slots=True)
class Record:
    """What happened in a run, without secrets: for whoever started it."""

    mrenclave: str | None = None
    tree: object = None
    platform: str | None = None
    mount: str | None = None
    before: Mapping[str, str | None] = field(default_factory=dict)
    after: Mapping[str, str | None] = field(default_factory=dict)
    exit_code: int | None = None
    error: list[str] = field(default_factory=list)

    def measured(self, tree: MeasurementTree, platform: str) -> None:
        """Note what was measured, before the CAS decides on it."""
        self.mrenclave, self.tree, self.platform = str(tree.root), json.loads(tree.to_json()), platform
        if platform == SIMULATED:
            _log.warning("platform sim protects nothing: whoever rules this host reads what the application sees")


def run(options: RunOptions, environment: Mapping[str, str]) -> int:
    """Run an application and return its exit code, or the one of the error that kept it from running.

    With ``SCONE_HASH=1`` MRENCLAVE is printed instead and nothing is run. Errors go to standard error.
    """
    record, note = Record(), ""
    try:
        log_to_stderr(log_level(environment))
        attestation = None if wants_hash(environment) else attestation_of(environment)
        if attestation is not None:
            note = (
                f"Note: Connecting to CAS at {attestation.cas.host} (port {attestation.cas.port}) "
                f"using service ID {attestation.service_id}"
            )
        code = _run(options, attestation, enclave_settings(environment), record)
    except BannockError as error:
        code = error.exit_code
        record.error = render(error)
        sys.stderr.write(f"{refusal(error, note)}\n")
    record.exit_code = code
    if options.record is not None:
        write_atomically(options.record, json.dumps(asdict(record), indent=2).encode())
    return code


def _run(options: RunOptions, attestation: Attestation | None, settings: Mapping[str, str], record: Record) -> int:
    root = PrivateRoot.enter()
    for bind in options.binds:
        root.bind(bind.host, bind.enclave)
    manifest = _freeze(root, options.command, settings)
    if attestation is None:
        sys.stdout.write(f"{measure(manifest, RootedReader(Path('/')), runtime_build()).root}\n")
        return 0
    launcher = Launcher.fork()
    try:
        with AttestedSession.establish(attestation, manifest, record.measured) as session:
            return _run_attested(root, launcher, session, options, manifest.binary, record)
    except BaseException:
        launcher.cancel()
        raise


def _run_attested(
    root: PrivateRoot, launcher: Launcher, session: AttestedSession, options: RunOptions, binary: str, record: Record
) -> int:
    """Open the volumes, start the application, wait for it, and keep what it changed."""
    _hide()
    configuration = session.configuration
    _require_measured(configuration.argv[0], binary)
    shields = Shields.open(
        configuration.volumes, options.volumes, lambda name: VolumeTag(session, name), options.mount
    )
    record.mount, record.before = shields.kind.value, _texts(shields.before)
    try:
        shields.mount(root, configuration.volumes)
        for file in configuration.files:
            root.place(Path(file.path), file.content.reveal(), file.mode)
        launcher.start(binary, configuration.argv, configuration.environment, configuration.working_directory)
        code = launcher.wait()
    finally:
        end_descendants()
        record.after = _texts(shields.finish())
    return code


def _freeze(root: PrivateRoot, command: str, settings: Mapping[str, str]) -> EnclaveManifest:
    """Find what decides how the program starts, and keep it from changing."""
    reader = RootedReader(Path("/"))
    binary = reader.resolve(_find(command))
    files = measured_files(binary, reader)
    root.freeze(files)
    if measured_files(binary, reader) != files:
        raise InputError(f"{binary} or one of its libraries changed while it was measured")
    return EnclaveManifest(binary=binary, settings=settings)


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
