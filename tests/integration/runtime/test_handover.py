"""What a program is told once nobody can look into it, and who cannot: each in processes of their own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

if TYPE_CHECKING:
    from collections.abc import Sequence

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0 or shutil.which("setpriv") is None, reason="needs root and setpriv"),
]

#: Starts what a line says in JSON, once there is another line, and ends as it does.
_START: Final = """
import json, logging, sys
from bannock.runtime import launcher as module
from bannock.runtime.launcher import Launcher, end_descendants
from bannock.runtime.log import log_to_stderr
from bannock.runtime.program import freeze_program
from bannock.runtime.root import PrivateRoot
log_to_stderr(logging.WARNING)
wanted = json.loads(sys.stdin.readline())
root = PrivateRoot.enter()
program = freeze_program(root, wanted["program"], {})
exec(wanted["before"])
launcher = Launcher.fork()
print(launcher._process, flush=True)
sys.stdin.readline()
launcher.start(wanted["program"], wanted["argv"], wanted["environment"], "/", entries=program.entries)
code = launcher.wait()
end_descendants()
sys.exit(code)
"""
_SHOW: Final = """
import json, os, sys
print(json.dumps([sys.argv[1:], {name: value for name, value in os.environ.items() if name != "LC_CTYPE"}]))
"""
#: Tells of a process what one may open of it who has no right over others but to be their user.
_LOOK: Final = """
import os, sys
opened = []
for name in ("environ", "mem", "maps", "root/etc", "cwd/etc", "fd/0", "ns/mnt", "ns/user"):
    try:
        os.close(os.open(f"/proc/{sys.argv[1]}/{name}", os.O_RDONLY))
        opened.append(name)
    except PermissionError:
        pass
print(opened)
"""
_NO_TRACING: Final = ("setpriv", "--bounding-set", "-sys_ptrace,-sys_admin,-perfmon")


class _Started:
    """A program that starts when it is asked to."""

    def __init__(
        self, program: str, argv: Sequence[str], environment: dict[str, str] | None = None, *, before: str = ""
    ) -> None:
        how = {"program": program, "argv": list(argv), "environment": environment or {}, "before": before}
        self.process = subprocess.Popen(
            [sys.executable, "-c", _START],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._say(json.dumps(how))
        self.number = int(self.line())

    def line(self) -> str:
        """Give the next line that it prints."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def go(self) -> None:
        """Have it start."""
        self._say("")

    def _say(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()

    def ended(self) -> tuple[int, str, str]:
        """Have it start, and wait until it has ended."""
        out, err = self.process.communicate("\n", timeout=60)
        return self.process.returncode, out, err

    def close(self) -> None:
        """End it, with all that it has started."""
        self.process.terminate()
        self.process.communicate(timeout=30)


def _looked_into(number: int | str) -> str:
    done = subprocess.run(
        [*_NO_TRACING, sys.executable, "-c", _LOOK, str(number)],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return done.stdout.strip()


def _in_python(program: str) -> list[str]:
    return [sys.executable, "-c", textwrap.dedent(program)]


@pytest.mark.parametrize(
    ("words", "environment"),
    [
        ([], {}),
        (["", "two words", "\udcff\udc80", "ü"], {"EMPTY": "", "NAME": "a=b\nc", "RAW": "\udcfe"}),
        ([f"{number}" * 7 for number in range(5000)], {f"NAME{number}": "x" * 1000 for number in range(500)}),
        (["y" * 1_000_000], {}),
    ],
    ids=["nothing", "odd", "many", "long"],
)
def test_everything_arrives(words: list[str], environment: dict[str, str]) -> None:
    """Any words in any number, also those that execve(2) would not take."""
    code, out, err = _Started(sys.executable, [*_in_python(_SHOW), *words], environment).ended()
    assert (code, err) == (0, "")
    assert json.loads(out) == [words, environment]


def test_programs_without_a_loader() -> None:
    """A static program starts in itself."""
    busybox = Path("/bin/busybox")
    if not busybox.exists():
        pytest.skip("needs busybox-static")
    started = _Started(str(busybox), ["sh", "-c", 'echo "$0 $1 $NAME"', "one", "two"], {"NAME": "value"})
    assert started.ended() == (0, "one two value\n", "")


def test_scripts(tmp_path: Path) -> None:
    """A script's interpreter gets what its first line says, the script's name and its arguments."""
    script = tmp_path / "script"
    script.write_text('#!/bin/sh -e\necho "$0 $* $NAME $-"\n')
    script.chmod(0o755)
    code, out, err = _Started(str(script), ["other", "one", "two"], {"NAME": "value"}).ended()
    assert (code, out, err) == (0, f"{script} one two value e\n", "")


def test_it_runs_like_any_program() -> None:
    """No signal is held back or ignored, nothing traces it, nothing is open that it did not open."""
    program = """
    import os
    fields = dict(line.split(":", 1) for line in open("/proc/self/status"))
    # Signals 32 and 33 are glibc's own: whoever starts the tests may have them ignored for good.
    ignored = int(fields["SigIgn"], 16) & ~(3 << 31)
    print(fields["SigBlk"].strip(), f"{ignored:x}", fields["TracerPid"].strip(), sorted(os.listdir("/proc/self/fd")))
    """
    code, out, err = _Started(sys.executable, _in_python(program)).ended()
    # Python ignores SIGPIPE and SIGXFSZ itself; the directory is descriptor 3.
    assert (code, out, err) == (0, "0000000000000000 1001000 0 ['0', '1', '2', '3']\n", "")


def test_nobody_sees_words_at_any_time() -> None:
    """Who rules the machine, and looks all the time, sees the program's name for itself, and no environment."""
    started = _Started("/bin/sh", ["name", "-c", "sleep 0.5; :", "canary"], {"NAME": "canary"})
    paths = [Path(f"/proc/{started.number}/{name}") for name in ("cmdline", "environ")]
    seen: set[bytes] = set()
    started.go()
    while started.process.poll() is None:
        try:
            seen |= {path.read_bytes() for path in paths}
        except (FileNotFoundError, ProcessLookupError):
            break
    assert started.ended()[0] == 0
    assert b"name\0" in seen
    assert not any(b"canary" in each for each in seen)


_FAMILY: Final = """
import os, signal, subprocess, sys, threading
threading.Thread(target=threading.Event().wait, daemon=True).start()
children = [subprocess.Popen(["sleep", "1000"]).pid, subprocess.Popen(["/bin/sh", "-c", "sleep 1000; :"]).pid]
if not (forked := os.fork()):
    signal.pause()
if not (shown := os.fork()):
    # As nginx does when it has changed its user.
    import ctypes
    os.setgid(65534), os.setuid(65534)
    assert ctypes.CDLL(None).prctl(4, 1, 0, 0, 0) == 0
    print(flush=True)
    signal.pause()
print(os.getpid(), *children, forked, shown, flush=True)
signal.pause()
"""


def test_nobody_looks_into_it() -> None:
    """Nor into what it starts and forks, and into servers that show themselves when they have changed their user."""
    started = _Started(sys.executable, [sys.executable, "-c", _FAMILY], {"PATH": os.defpath, "SECRET": "canary"})
    try:
        assert _looked_into(started.number) == "[]"
        started.go()
        family = sorted((started.line(), started.line()))[1].split()
        assert len(family) == 5
        for number in family:
            assert _looked_into(number) == "[]"
            assert Path(f"/proc/{number}/environ").exists()
    finally:
        started.close()


@pytest.mark.parametrize(
    ("before", "told"),
    [
        (
            "def refuse(): raise PermissionError(1, '')\nmodule.trace_me = refuse",
            "arguments and environment are to be seen",
        ),
        ("module._foreign_owners = lambda: None", "may look into programs that the application starts"),
    ],
    ids=["no-tracing", "no-namespace"],
)
def test_what_the_kernel_does_not_do_is_told(before: str, told: str) -> None:
    """The program runs nevertheless, and what is left of it stays closed."""
    program = "import os, sys, signal; print(sys.argv[1], os.environ['NAME'], flush=True); signal.pause()"
    started = _Started(sys.executable, [sys.executable, "-c", program, "word"], {"NAME": "value"}, before=before)
    try:
        started.go()
        assert started.line() == "word value"
        assert _looked_into(started.number) == "[]"
    finally:
        started.process.send_signal(15)
        _, err = started.process.communicate(timeout=30)
    assert told in err


def test_a_program_that_is_not_there_is_told() -> None:
    """The refusal is the one of the kernel, and nothing is left."""
    code, _, err = _Started("/bin/sh", ["sh"], before="wanted['program'] = '/bin/nothing'").ended()
    assert code == 1
    assert "cannot start the application: /bin/nothing: No such file or directory" in err
