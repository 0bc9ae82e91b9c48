"""What root in the container of a service sees and changes, in a shell that an engine starts there."""

from __future__ import annotations

import json
import shutil
import stat
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import pytest

from bannock.net.tls import Identity

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from tests.containers import Container, Engine
    from tests.e2e.site import Site
    from tests.protected_images import ProtectedImages

pytestmark = [pytest.mark.docker, pytest.mark.root]

_OWNER: Final = Identity.generate("owner")
#: What nobody but the application is to see; nobody who looks for them has them in one piece.
_SECRETS: Final = {name: f"canary-{name}" for name in ("environment", "argument", "file", "volume")}
_PATTERN: Final = "[c]anary-"
_NOBODY: Final = 65534
#: First process, runtime, application, what it has forked, its shell and the shell's program.
_PROCESSES: Final = 6
_SHELL: Final = """
echo "$API_PASSWORD" > /data/file
echo "$API_PASSWORD" > /dev/shm/file
(while :; do sleep 1000; done) &
sh -c 'sleep 1000; :' child &
[ "$0" = canary-argument ] && grep -q ^canary-environment /data/file && grep -q ^canary-file /tls/key && echo ready
trap 'echo "still $(cat /data/file | wc -c)"' USR1
while :; do sleep 0.2; done
"""
_PYTHON: Final = """
import ctypes, os, pathlib, signal, subprocess, sys, threading
pathlib.Path("/dev/shm/file").write_text(os.environ["API_PASSWORD"])
assert ctypes.CDLL(None).shmget(0, 4096, 0o1666) >= 0
file = pathlib.Path("/data/file")
file.write_text(os.environ["API_PASSWORD"] + "canary-volume")
held = file.open()
subprocess.Popen(["/bin/sh", "-c", "sleep 1000; :"])
threading.Thread(target=threading.Event().wait, daemon=True).start()
if os.fork() == 0:
    signal.pause()
signal.signal(signal.SIGUSR1, lambda *_: print("still", len(file.read_text()), flush=True))
if sys.argv[1] == "canary-argument" and pathlib.Path("/tls/key").read_text() == "canary-file":
    open("/dev/stdout", "w").write("ready\\n")
while True:
    signal.pause()
"""
#: Looks everywhere where the kernel shows processes; prints what it finds.
_LOOK: Final = f"""
echo "$API_PASSWORD"; env
for process in /proc/[0-9]*; do
    for task in $process $process/task/[0-9]*; do
        for what in cmdline environ comm maps smaps auxv stack syscall mountinfo; do
            grep -a '{_PATTERN}' $task/$what | sed "s,^,$task/$what ,"
        done
        [ $task/root -ef / ] && continue
        dd if=$task/mem bs=4096 count=1 skip=1024 && echo OPEN $task/mem
        for link in cwd root exe; do ls -d $task/$link/. && echo OPEN $task/$link; done
        for name in $task/fd/*; do [ -f $name ] && grep -a '{_PATTERN}' $name; done
        cat $task/root/data/file $task/root/tls/key $task/cwd/data/file
    done
done
tail -n +2 /proc/sysvipc/shm | sed 's,^,OPEN shared memory ,'
timeout 10 grep -rsa '{_PATTERN}' /data /tls /tmp /var /home /root /dev/shm /opt/bannock/image /.bannock
"""
#: Tries to get into processes by system calls.
_ATTACH: Final = """
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
def namespace(process):
    return os.readlink(f"/proc/{process}/ns/mnt")
for process in map(int, filter(str.isdigit, os.listdir("/proc"))):
    try:
        if process == os.getpid() or process > 1 and namespace(process) == namespace("self"):
            continue
    except OSError:
        pass
    handle = os.pidfd_open(process)
    read, there = ctypes.create_string_buffer(8), open("/proc/self/stat").read().split()[27]
    local, remote = (ctypes.c_uint64 * 2)(ctypes.addressof(read), 8), (ctypes.c_uint64 * 2)(int(there), 8)
    tried = {
        "attach": libc.ptrace(16, process, 0, 0),
        "seize": libc.ptrace(0x4206, process, 0, 0),
        "read": libc.syscall(310, process, local, 1, remote, 1, 0),
        "descriptor": libc.syscall(438, handle, 1, 0),
        "namespaces": libc.setns(handle, 0x20000),
        "compare": libc.syscall(312, process, os.getpid(), 1, 0, 0),
    }
    for name in ("ns/mnt", "ns/user", "ns/pid", "mem", "environ", "maps", "fd/0"):
        try:
            tried[name] = os.open(f"/proc/{process}/{name}", os.O_RDONLY)
            if name in ("mem", "environ", "maps"):
                os.pread(tried[name], 8, int(there))
        except OSError:
            tried[name] = -1
    done = [what for what, result in tried.items() if result >= 0]
    print("closed" if not done else f"OPEN: {done}", process)
"""
_OPTIONS: Final = {
    "fuse": ("--device", "/dev/fuse", "--security-opt", "seccomp=unconfined", "-e", "BANNOCK_MOUNT=fuse"),
    "memory": ("--security-opt", "seccomp=unconfined", "-e", "BANNOCK_MOUNT=memory"),
    "fuse-admin": ("--device", "/dev/fuse", "--cap-add", "SYS_ADMIN", "-e", "BANNOCK_MOUNT=fuse"),
}
_PROGRAMS: Final = {
    "python": ("/usr/bin/python3.11", ("/usr/bin/python3", "-c", _PYTHON)),
    "busybox": ("/bin/busybox", ("/bin/sh", "-c", _SHELL)),
}


def _session(measurement: str, command: Sequence[str]) -> str:
    return f"""
name: demo
version: "0.3.10"
services:
  - name: app
    image_name: image
    mrenclaves: [{measurement}]
    command: {json.dumps([*command, "$$SCONE::argument$$"])}
    environment: {{API_PASSWORD: $$SCONE::environment$$, PATH: /usr/bin:/bin}}
images:
  - name: image
    volumes: [{{name: data, path: /data}}]
    injection_files: [{{path: /tls/key, content: $$SCONE::file$$}}]
volumes: [{{name: data}}]
secrets:
{"".join(f"  - {{name: {name}, kind: ascii, value: {value}}}" + chr(10) for name, value in _SECRETS.items())}
security: {{attestation: {{tolerate: [simulation]}}}}
"""


@pytest.fixture(scope="module")
def tools(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Programs for whoever gets into a container, which are not the container's own."""
    place = tmp_path_factory.mktemp("tools")
    shutil.copy("/bin/busybox", place)
    for applet in subprocess.check_output([place / "busybox", "--list"], text=True).split():
        if applet != "busybox":
            (place / applet).symlink_to("busybox")
    for directory in (place, *place.parents):
        mode = stat.S_IMODE(directory.stat().st_mode)
        # Containers' users have to come this far; what everybody can enter stays as it is.
        if not mode & stat.S_IXOTH:
            directory.chmod(mode | 0o055)
    return place


def _as(engine: Engine, container: Container, user: int, script: str) -> str:
    """Run a script in a shell that an engine starts in the container, and give all that it printed."""
    options = ("-u", str(user), "-e", "PATH=/tools:/usr/bin")
    done = engine.run("exec", *options, container.name, "/tools/sh", "-c", script, check=False)
    return done.stdout + done.stderr


@contextmanager
def _service(
    engine: Engine, protected: ProtectedImages, site: Site, what: str, options: Sequence[str]
) -> Iterator[Container]:
    program, command = _PROGRAMS[what]
    image = protected.of(what, program)
    measurement = engine.in_container(image, options=("-e", "SCONE_HASH=1")).stdout.strip()
    site.post(_OWNER, _session(measurement, command))
    with engine.started(image, options=(*options, *site.container_options("demo/app"))) as container:
        container.wait_for("ready")
        yield container


@pytest.mark.fuse
@pytest.mark.parametrize(
    ("what", "how", "user"),
    [
        ("python", "fuse", 0),
        ("python", "memory", _NOBODY),
        ("busybox", "memory", 0),
        ("busybox", "fuse", _NOBODY),
    ],
)
def test_a_shell_sees_nothing(
    engine: Engine, protected: ProtectedImages, site: Site, tools: Path, what: str, how: str, user: int
) -> None:
    """Neither environment, arguments, files nor memory, of the application and of what it has started."""
    options = (*_OPTIONS[how], "-u", str(user), "--tmpfs", "/data:mode=777", "-v", f"{tools}:/tools:ro")
    (tools / "look").write_text(_LOOK)
    with _service(engine, protected, site, what, options) as container:
        for who in {0, user}:
            found = _as(engine, container, who, ". /tools/look").splitlines()
            assert any(line.startswith("PATH=") for line in found)
            assert [line for line in found if "canary" in line or "OPEN" in line] == []
        if what == "python":
            tried = container.execute("/opt/bannock/programs/usr/bin/python3.11", "-c", _ATTACH, check=True).stdout
            assert tried.count("closed") == len(tried.splitlines()) >= _PROCESSES, tried


def test_an_edited_program_is_refused(
    engine: Engine, protected: ProtectedImages, site: Site, tools: Path, tmp_path: Path
) -> None:
    """Where it is started; the one that runs goes on as it was."""
    data = tmp_path / "data"
    data.mkdir()
    options = (*_OPTIONS["memory"], "-v", f"{data}:/data", "-v", f"{tools}:/tools:ro")
    with _service(engine, protected, site, "busybox", options) as container:
        _as(engine, container, 0, "printf x >> /opt/bannock/programs/bin/busybox")
        engine.run("kill", "-s", "USR1", container.name)
        container.wait_for("still 19")
        engine.run("restart", "-t", "10", container.name)
        assert engine.output("wait", container.name) != "0"
        assert container.logs.count("ready") == 1
        assert "Unexpected enclave measurement" in container.logs
