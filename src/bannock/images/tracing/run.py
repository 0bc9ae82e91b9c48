"""Runs an image once under strace(1), and tells which files its program used.

``strace``, its loader and its libraries are copied into the new container before that starts, so the image needs
nothing of it: no package, no shell, no libc. What is traced are the program's own processes, which needs no right that
containers do not have. The container engine may be on another machine of the same architecture. The image is run as it
is, with the rights of a container: trace images that you would run yourself.
"""

from __future__ import annotations

import io
import posixpath
import shutil
import tarfile
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from bannock.errors import EnvironmentFault, InputError
from bannock.identity.libraries import Libraries
from bannock.identity.reader import RootedReader
from bannock.images.containers import Containers
from bannock.images.engine import Engine
from bannock.images.engine_socket import EngineSocket
from bannock.images.tracing.strace_log import read_log

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from bannock.images.tracing.strace_log import Access

__all__ = ["PLACE", "Trace", "trace"]

#: Where the tracer is in the container; nothing below it is told.
PLACE: Final = "/.bannock-trace"
_LOG: Final = f"{PLACE}/log/strace"
_CALLS: Final = "trace=%file,fork,vfork,clone,clone3"
#: A program that uses no further file for so long waits for somebody to ask something of it.
_QUIET_SECONDS: Final = 3.0
_LOOK_SECONDS: Final = 0.2
_LOG_BYTES_MAX: Final = 2 << 30
_COMMAND_NOT_FOUND: Final = 127


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """What a run of an image showed.

    Attributes:
        accesses: which paths the program used, and how.
        ended: how the run ended, to be told: ``ended with 0 after 0.4 s``.
        failed: whether the program ended by itself, and not with 0: it did not do what it does elsewhere.
        output: the last lines that it wrote.
    """

    accesses: tuple[Access, ...]
    ended: str
    failed: bool
    output: str


def trace(
    image: str,
    *,
    command: Sequence[str] = (),
    env: Mapping[str, str] | None = None,
    files: Mapping[str, bytes] | None = None,
    seconds: float = 30.0,
    quiet: float = _QUIET_SECONDS,
    engine: EngineSocket | None = None,
    while_running: Callable[[str], None] | None = None,
) -> Trace:
    """Run an image until its program ends, needs no further file, or has run long enough.

    Args:
        image: a name or id that the engine has.
        command: program and arguments in place of the image's entry point and command.
        env: further variables.
        files: files that the program needs and that the image does not have, path → content; certificates for example.
        seconds: how long it may run.
        quiet: for how long it uses no further file when it is taken for ready.
        engine: the container engine; where nothing is given, that of this machine.
        while_running: is called with the container's id once it has been started (to ask the service something).

    Raises:
        EnvironmentFault: there is no strace here, or no container engine.
        NotFoundError: the engine has no such image.
        InputError: the image has no program to run.
    """
    engine = engine or EngineSocket()
    client = Containers(engine)
    settings = Engine(engine).settings(image)
    program = list(command) or [*settings.texts("Entrypoint"), *settings.texts("Cmd")]
    if not program:
        raise InputError(f"the image {image} names no program to run", hint="name it with --command")
    tools, tracer = _tools()
    container = client.create(
        {
            "Image": image,
            "Entrypoint": [*tracer, "-f", "-y", "-qq", "--seccomp-bpf", "-e", _CALLS, "-o", _LOG, "--", *program],
            "Cmd": [],
            "Env": [f"{name}={value}" for name, value in (env or {}).items()],
            "Tty": True,  # without it the engine puts a header before each piece of output
        }
    )
    try:
        client.put(container, _packed(tools, files or {}))
        return _watched(client, container, settings.text("WorkingDir") or "/", seconds, quiet, while_running)
    finally:
        client.remove(container)


def _watched(
    client: Containers,
    container: str,
    working_dir: str,
    seconds: float,
    quiet: float,
    while_running: Callable[[str], None] | None,
) -> Trace:
    began = time.monotonic()
    client.start(container)
    if while_running is not None:
        while_running(container)
    size, changed = 0, began
    code = client.state(container).ended_with
    while code is None:
        now = time.monotonic()
        grown = client.size_of(container, _LOG)
        if grown != size:
            size, changed = grown, now
        if now - began > seconds or (size and now - changed > quiet) or size > _LOG_BYTES_MAX:
            break
        time.sleep(_LOOK_SECONDS)
        code = client.state(container).ended_with
    took = time.monotonic() - began
    if code is None:
        client.kill(container)
    output = client.output(container)
    with tempfile.TemporaryFile() as log:
        for block in client.get(container, _LOG):
            log.write(block)
        log.seek(0)
        accesses = read_log(_lines(log), cwd=working_dir)
    if not accesses:
        raise EnvironmentFault(
            "the program could not be traced: strace wrote nothing",
            reasons=output.splitlines()[-3:],
            hint="name the directories with --dir in place of --trace auto",
        )
    told = "was ended, it still ran," if code is None else f"ended with {code}"
    return Trace(
        accesses=tuple(one for one in accesses if not one.path.startswith(PLACE)),
        ended=f"{told} after {took:.1f} s",
        failed=bool(code),
        output=output,
    )


def _lines(log: Any) -> Iterator[bytes]:
    with tarfile.open(fileobj=log, mode="r:") as archive:
        for member in archive:
            file = archive.extractfile(member)
            if file is not None:
                yield from file


def _tools() -> tuple[dict[str, Path], list[str]]:
    """Return what has to be in the container, name → file of this machine, and how strace is started there."""
    strace = shutil.which("strace")
    if strace is None:
        raise EnvironmentFault(
            "strace is not installed here, and what a program uses cannot be traced without it",
            hint="install it (Debian: apt-get install strace), or name the directories with --dir",
        )
    reader = RootedReader(Path("/"))
    found: dict[str, str] = {}
    program = reader.resolve(strace)
    Libraries(reader, found).add_program(program)
    tools = {"strace": Path(program)}
    loader = ""
    for name, path in found.items():
        base = posixpath.basename(name)
        if base.startswith(("ld-linux", "ld-musl")):
            loader = base
        tools.setdefault(f"lib/{base}", Path(path))
    start = [f"{PLACE}/lib/{loader}", "--library-path", f"{PLACE}/lib"] if loader else []
    return tools, [*start, f"{PLACE}/strace"]


def _packed(tools: Mapping[str, Path], files: Mapping[str, bytes]) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        for name, mode in ((PLACE, 0o755), (f"{PLACE}/lib", 0o755), (f"{PLACE}/log", 0o1777)):
            _add(archive, name, mode, None)
        for name, path in tools.items():
            _add(archive, f"{PLACE}/{name}", 0o755, path.read_bytes())
        for name, content in files.items():
            # Any user of the container may have to read it.
            _add(archive, name, 0o644, content)
    return made.getvalue()


def _add(archive: tarfile.TarFile, name: str, mode: int, content: bytes | None) -> None:
    info = tarfile.TarInfo(name.lstrip("/"))
    info.mode, info.mtime = mode, int(time.time())
    if content is None:
        info.type = tarfile.DIRTYPE
        archive.addfile(info)
    else:
        info.size = len(content)
        archive.addfile(info, io.BytesIO(content))
