"""Where a platform vouches for the machine, a LAS reports on the runtime of its installation and on nothing else."""

from __future__ import annotations

import ctypes
import os
import select
import shutil
import signal
import subprocess
import sys
import sysconfig
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from bannock.errors import DeniedError
from bannock.evidence.las_client import LasClient
from bannock.identity.cas_program import cas_manifest
from bannock.las.process import PeerProcess
from bannock.las.runtime_peer import Installation, start_reasons
from bannock.las.service import EmbeddedLas
from tests.integration.las.make_believe import make_believe_attester

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_PYTHON: Final = sys.executable
_RUN: Final = [_PYTHON, "-I", "-m", "bannock.cli.bannock", "run", "--", "/bin/sh"]
_WAITS: Final = "import bannock.runtime.run, sys, time; print(flush=True); time.sleep(60)"
_PTRACE_SEIZE: Final = 0x4206
#: A library of the C library's own that no part of the runtime needs.
_UNUSED: Final = Path("/usr/lib/x86_64-linux-gnu/libmvec.so.1")


@contextmanager
def _process(command: Sequence[str], **environment: str) -> Iterator[PeerProcess]:
    """Give a process that has printed a line, and waits."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, env={**os.environ, **environment}) as child:
        try:
            assert child.stdout is not None
            child.stdout.readline()
            with PeerProcess(number=child.pid, handle=os.pidfd_open(child.pid)) as process:
                yield process
        finally:
            child.kill()


def _reasons(process: PeerProcess) -> list[str]:
    with pytest.raises(DeniedError, match="is not the runtime of this installation") as caught:
        Installation().require_runtime(process)
    return [str(caught.value), *caught.value.reasons]


def test_code_of_the_runtime_is_this_installations() -> None:
    """Of an interpreter that has loaded the runtime nothing is wrong but that it was started in another way."""
    with _process([_PYTHON, "-I", "-c", _WAITS]) as process:
        reasons = _reasons(process)
    assert len(reasons) == 1
    assert "it was not started as `bannock run`" in reasons[0]


def test_another_program_is_refused() -> None:
    """Its name is told, and what was expected."""
    with _process(["/bin/sh", "-c", "echo; exec sleep 60"]) as process:
        reasons = _reasons(process)
    assert f"expected {Path(_PYTHON).resolve()}" in reasons[0]


@pytest.mark.skipif(not _UNUSED.exists(), reason="no such library here")
def test_preloaded_library_is_refused(tmp_path: Path) -> None:
    """One of the system, as well as a copy that somebody brought; and the variable that did it is named."""
    brought = tmp_path / "libm.so.6"
    shutil.copy(_UNUSED, brought)
    for library, told in (
        (_UNUSED, f"code is loaded that the runtime has no use for: {_UNUSED}"),
        (brought, f"code is loaded that this installation has not got there: {brought}"),
    ):
        with _process([_PYTHON, "-I", "-c", _WAITS], LD_PRELOAD=str(library)) as process:
            reasons = _reasons(process)
        assert any(told in reason for reason in reasons), reasons
        assert any("LD_PRELOAD" in reason for reason in reasons)


def test_code_that_is_in_no_file_is_refused() -> None:
    """Memory that code runs from, and memory whose code can be changed."""
    for protection, told in (("PROT_EXEC", "comes from no file"), ("PROT_WRITE | mmap.PROT_EXEC", "change its code")):
        how = f"flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ | mmap.{protection}"
        program = f"import mmap; code = mmap.mmap(-1, 4096, {how}); {_WAITS}"
        with _process([_PYTHON, "-I", "-c", program]) as process:
            assert any(told in reason for reason in _reasons(process))


def test_changed_file_is_refused(tmp_path: Path) -> None:
    """A file that was replaced after it was loaded is not what this installation has."""
    copy = tmp_path / "libm.so.6"
    shutil.copy(_UNUSED if _UNUSED.exists() else Path(_PYTHON).resolve(), copy)
    if not _UNUSED.exists():
        pytest.skip("no such library here")
    with _process([_PYTHON, "-I", "-c", _WAITS], LD_PRELOAD=str(copy)) as process:
        copy.unlink()
        assert any("(deleted)" not in reason and str(copy) in reason for reason in _reasons(process))


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to trace")
def test_traced_process_is_refused() -> None:
    """Whoever traces a process rules it."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
    with _process([_PYTHON, "-I", "-c", _WAITS]) as process:
        if libc.ptrace(_PTRACE_SEIZE, process.number, None, None):
            pytest.skip("no tracing here")
        assert any(f"process {os.getpid()} traces it" in reason for reason in _reasons(process))


def test_ended_process_is_told() -> None:
    """There is nothing to look into."""
    with _process([_PYTHON, "-I", "-c", _WAITS]) as process:
        os.kill(process.number, signal.SIGKILL)
        select.select([process.handle], [], [], 10)
        with pytest.raises(DeniedError, match="ended"):
            Installation().require_runtime(process)


def test_programs_of_images_are_launched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """This installation's launcher stands for `bannock run`, whatever the program; another of its name does not."""
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    for place in (ours, theirs):
        place.mkdir()
        (place / "launch").touch()
    monkeypatch.setattr(sysconfig, "get_path", lambda _: str(ours))
    for words in (["/bin/sh"], ["/usr/bin/python3", "run"], ["/usr/bin/python3.11", "-c", "pass"]):
        assert list(start_reasons([_PYTHON, "-IS", f"{ours}/launch", *words], {})) == []
        reasons = list(start_reasons([_PYTHON, "-IS", f"{theirs}/launch", *words], {}))
        assert reasons == ["it was not started as `bannock run`"]


@pytest.mark.parametrize(
    "words",
    [
        [_PYTHON, "-I", "-m", "bannock.cli.bannock", "run", "--", "/bin/sh"],
        [_PYTHON, "-IB", "-u", "-m", "bannock.cli.bannock", "cas", "serve", "--workers", "2"],
        [_PYTHON, "-s", "-P", "-m", "bannock.cli.bannock", "run", "/bin/sh"],
        [_PYTHON, "-I", f"{sysconfig.get_path('scripts')}/bannock", "run", "/bin/sh"],
    ],
)
def test_ways_to_start_a_runtime(words: list[str]) -> None:
    """A module or the installed script, where no modules of the caller's come in."""
    assert list(start_reasons(words, {"PATH": "/bin", "PYTHONUNBUFFERED": "1"})) == []


@pytest.mark.parametrize(
    ("words", "environment", "told"),
    [
        ([_PYTHON, "-I", "-c", "pass", "run"], {}, "not started"),
        ([_PYTHON, "-I", "-m", "bannock.cli.scone", "las", "probe"], {}, "not started"),
        ([_PYTHON, "-I", "-m", "bannock.cli.run", "run"], {}, "not started"),
        ([_PYTHON, "-I", "/other/bannock", "run"], {}, "not started"),
        ([_PYTHON, "-i", "-I", "-m", "bannock.cli.bannock", "run"], {}, "not started"),
        ([_PYTHON, "-X", "importtime", "-m", "bannock.cli.bannock", "run"], {}, "not started"),
        ([""], {}, "not started"),
        ([_PYTHON, "-s", "-m", "bannock.cli.bannock", "run"], {}, "the directory that it was started in"),
        (["/usr/bin/python3", "-P", "-m", "bannock.cli.bannock", "run"], {}, "its user's directory"),
        (_RUN, {"PYTHONPATH": "/other"}, "PYTHONPATH"),
        (_RUN, {"LD_AUDIT": "/other/a.so", "LD_PRELOAD": ""}, "LD_AUDIT, LD_PRELOAD"),
    ],
)
def test_ways_that_bring_code_along(words: list[str], environment: dict[str, str], told: str) -> None:
    """Each is named by what is wrong with it."""
    assert any(told in reason for reason in start_reasons(words, environment))


def test_las_of_a_machine_refuses_other_programs(tmp_path: Path) -> None:
    """Also where the platform is only rehearsed: so users meet it before it matters."""
    with EmbeddedLas(tmp_path / "las", make_believe_attester(rehearses="tdx")) as las:
        with pytest.raises(DeniedError, match="is not the runtime of this installation") as caught:
            LasClient(las.address).report(cas_manifest(), bytes(64))
        assert "bannock run" in (caught.value.hint or "")
    with EmbeddedLas(tmp_path / "las") as las:
        LasClient(las.address).report(cas_manifest(), bytes(64))
