"""Starting the programs of an image that the runtime's layer is in: what the launcher in a program's place does.

Without a session and a protection file the program just runs, as if it had never been moved: nothing is protected, and
nothing secret comes. Everything else is what ``bannock run`` does, with what an image knows by itself.
"""

from __future__ import annotations

import logging
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bannock import linux
from bannock.errors import BannockError, EnvironmentFault, InputError, render
from bannock.identity.layout import original_path
from bannock.identity.manifest import EnclaveManifest
from bannock.identity.measure import measure
from bannock.identity.runtime_build import runtime_build
from bannock.identity.signing import SignedProgram
from bannock.policy.claims import SIMULATED
from bannock.runtime.banner import banner, wants_banner
from bannock.runtime.first_process import leave_first_process
from bannock.runtime.known_trees import keep_tree
from bannock.runtime.log import log_to_stderr
from bannock.runtime.originals import OriginalsReader, originals
from bannock.runtime.run import run
from bannock.runtime.settings import Mount, RunOptions, enclave_settings, log_level, runs_locally, wants_hash

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bannock.identity.tree import MeasurementTree

__all__ = ["launch"]

_log = logging.getLogger("bannock.runtime")

_VOLUME: Final = "BANNOCK_VOLUME_"
_SESSION: Final = ("SCONE_CAS_ADDR", "SCONE_CONFIG_ID")


def launch(command: str, arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    """Start a program in whose place the launcher is, and return its exit code or the one of a refusal.

    Args:
        command: the path that the kernel found it by.
        arguments: that it was given.
        environment: of the container.
    """
    try:
        log_to_stderr(log_level(environment))
        path = os.path.abspath(command)  # noqa: PTH100 # links stay
        if wants_hash(environment):
            return _tell_hash(path, environment)
        if not runs_locally(environment) and not any(environment.get(name) for name in _SESSION):
            _run_plainly(path, arguments, environment)
        options = RunOptions(
            command=path,
            arguments=tuple(arguments),
            volumes=_volumes(environment),
            mount=_mount(environment),
            record=_record(environment),
            installed=True,
        )
    except BannockError as error:
        sys.stderr.write("".join(f"{line}\n" for line in render(error)))
        return error.exit_code
    ended = leave_first_process()
    return run(options, environment) if ended is None else ended


def _tell_hash(path: str, environment: Mapping[str, str]) -> int:
    tree = _measure(path, environment)
    keep_tree(tree, environment)
    sys.stdout.write(f"{tree.root}\n")
    return 0


def _measure(path: str, environment: Mapping[str, str]) -> MeasurementTree:
    """Measure a program as it would be if it had been put back, without a right to do that."""
    reader = OriginalsReader(Path("/"))
    binary = reader.resolve(path)
    signed = SignedProgram.read(binary, reader)
    settings = {**(signed.tree.settings if signed is not None else {}), **enclave_settings(environment)}
    return measure(EnclaveManifest(binary=binary, settings=settings), reader, runtime_build())


def _run_plainly(path: str, arguments: Sequence[str], environment: Mapping[str, str]) -> None:
    """Become the program.

    Raises:
        EnvironmentFault: the kernel refuses to run it.
    """
    _log.warning("nothing is attested and nothing is protected: there is no SCONE_CONFIG_ID")
    if wants_banner(environment):
        tree = _measure(path, environment)
        sys.stdout.write(banner(tree.settings, tree.root, SIMULATED, environment))
        sys.stdout.flush()
    start = path if _put_back() else original_path(os.path.realpath(path))
    try:
        os.execve(start, [path, *arguments], dict(environment))  # noqa: S606 # no shell is wanted
    except OSError as error:
        raise EnvironmentFault(f"cannot start {start}: {error.strerror}") from error


def _put_back() -> bool:
    """Show the programs at their own paths, where this process may do that.

    That is more than convenience: some programs find what belongs to them by the path that they were started by.
    """
    with suppress(OSError):
        linux.unshare(linux.CLONE_NEWNS)
        linux.mount(None, "/", None, linux.MS_REC | linux.MS_PRIVATE)
        for original, path in originals():
            linux.mount(original, path, None, linux.MS_BIND)
        return True
    return False


def _volumes(environment: Mapping[str, str]) -> dict[str, Path]:
    return {
        name.removeprefix(_VOLUME): Path(path)
        for name, path in environment.items()
        if name.startswith(_VOLUME) and path
    }


def _record(environment: Mapping[str, str]) -> Path | None:
    path = environment.get("BANNOCK_RECORD")
    return Path(path) if path else None


def _mount(environment: Mapping[str, str]) -> Mount:
    text = environment.get("BANNOCK_MOUNT") or Mount.AUTO
    try:
        return Mount(text)
    except ValueError as error:
        raise InputError(f"BANNOCK_MOUNT is one of {', '.join(Mount)}, found {text[:80]!r}") from error
