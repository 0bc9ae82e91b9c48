"""Reports for processes that see other files, have other rights, or ask at the same time."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from bannock.evidence.platforms import SimulatedAttester
from bannock.identity.manifest import EnclaveManifest
from bannock.identity.measure import measure
from bannock.identity.reader import RootedReader
from bannock.identity.runtime_build import runtime_build
from bannock.las.key import kept_key
from bannock.las.service import Las
from bannock.las.web import web_application
from bannock.net.address import Address
from bannock.net.server import Endpoint, ThreadedServer, bind_tcp, bind_unix
from tests.unit.identity.elves import elf

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_ASKER: Final = Path(__file__).parent / "asker.py"
_NOBODY: Final = 65534
_as_root: Final = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")

_SERVE: Final = """
import sys
from pathlib import Path
from bannock.evidence.platforms import SimulatedAttester
from bannock.las.key import kept_key
from bannock.las.service import serve
from bannock.net.address import Address
attester = SimulatedAttester(kept_key(Path(sys.argv[1])))
serve(attester, listen=Address("127.0.0.1", int(sys.argv[3])), unix=Path(sys.argv[2]),
      ready=lambda: print("ready", flush=True))
"""


@pytest.fixture
def public_path() -> Iterator[Path]:
    """A directory that every user of this machine can look into."""
    with tempfile.TemporaryDirectory() as name:
        path = Path(name)
        path.chmod(0o755)
        yield path


@pytest.fixture
def las(private_path: Path, public_path: Path) -> Iterator[str]:
    """A LAS that every user of this machine reaches; its address."""
    socket = public_path / "las.sock"
    endpoint = Endpoint(
        app=web_application(Las(SimulatedAttester(kept_key(private_path)))), sock=bind_unix(socket, mode=0o666)
    )
    with ThreadedServer(endpoint):
        yield f"unix:{socket}"


@pytest.fixture
def program(public_path: Path) -> Path:
    """A program that stands alone."""
    path = public_path / "program"
    path.write_bytes(elf())
    path.chmod(0o755)
    return path


def _ask(address: str, manifest: EnclaveManifest, *more: str, before: Sequence[str] = ()) -> dict[str, Any]:
    command = [*before, sys.executable, str(_ASKER), address, manifest.to_json().decode(), *more]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def _manifest(*paths: Path) -> EnclaveManifest:
    first, *more = map(str, paths)
    return EnclaveManifest(binary=first, paths=tuple(more), settings={})


@pytest.mark.root
@_as_root
@pytest.mark.skipif(shutil.which("unshare") is None, reason="no unshare here")
def test_private_mounts_are_seen(las: str, program: Path, tmp_path: Path) -> None:
    """What is mounted over a file for one process alone is what is measured for it; others get the file itself."""
    changed = tmp_path / "changed"
    changed.write_bytes(elf(soname="changed"))
    shell = f'mount --bind "{changed}" "{program}" && exec "$@"'
    there = _ask(las, _manifest(program), before=["unshare", "-m", "sh", "-c", shell, "sh"])
    here = _ask(las, _manifest(program))
    assert here["mrenclave"] == str(measure(_manifest(program), RootedReader(Path("/")), runtime_build()).root)
    assert there["mrenclave"] != here["mrenclave"]
    assert there["tree"]["files"].keys() == here["tree"]["files"].keys() == {str(program)}


@pytest.mark.root
@_as_root
@pytest.mark.skipif(shutil.which("unshare") is None or shutil.which("gcc") is None, reason="no unshare or gcc here")
def test_library_preloaded_by_the_host_is_in_the_report(las: str, tmp_path: Path) -> None:
    """What the machine's loader puts into every program of a process's namespace is measured for that process."""
    spy, configuration = tmp_path / "spy.so", tmp_path / "etc"
    subprocess.run([str(shutil.which("gcc")), "-shared", "-x", "c", "/dev/null", "-o", str(spy)], check=True)
    configuration.mkdir()
    shutil.copy("/etc/ld.so.cache", configuration)
    (configuration / "ld.so.preload").write_text(f"{spy}\n")
    before = ["unshare", "-m", "sh", "-c", f'mount --bind "{configuration}" /etc && exec "$@"', "sh"]
    mapped = subprocess.run([*before, "cat", "/proc/self/maps"], check=True, capture_output=True, text=True).stdout
    assert str(spy) in mapped
    manifest = EnclaveManifest(binary="/bin/cat", settings={})
    there, here = _ask(las, manifest, before=before), _ask(las, manifest)
    added = there["tree"]["files"].keys() - here["tree"]["files"].keys()
    assert {str(spy), "/etc/ld.so.preload"} <= added
    assert there["mrenclave"] != here["mrenclave"]


def test_many_ask_at_once(las: str, program: Path) -> None:
    """Each of many processes that ask at the same time gets its own answer."""
    others = [program.with_name(f"program-{number}") for number in range(6)]
    for number, other in enumerate(others):
        other.write_bytes(elf(soname=str(number)))
    with ThreadPoolExecutor(len(others)) as pool:
        answers = list(pool.map(lambda path: _ask(las, _manifest(path)), others))
    assert [answer["tree"]["program"] for answer in answers] == list(map(str, others))
    assert len({answer["mrenclave"] for answer in answers}) == len(others)


@pytest.mark.root
@_as_root
def test_users_get_reports_of_what_they_may_read(las: str, program: Path) -> None:
    """A user without rights is measured like everybody else."""
    assert _ask(las, _manifest(program), str(_NOBODY)) == _ask(las, _manifest(program))


@pytest.mark.root
@_as_root
@pytest.mark.parametrize("mode", [0o600, 0o700, 0o711, 0o750])
def test_files_of_others_are_not_told(las: str, program: Path, mode: int) -> None:
    """A service that may read all does not tell a user digests of files that are not for that user."""
    secret = program.with_name("secret")
    secret.write_text("1234")
    secret.chmod(mode)
    refused = _ask(las, _manifest(program, secret), str(_NOBODY))
    assert refused["error"] == "InputError"
    assert "permission denied" in refused["message"]
    assert _ask(las, _manifest(program, secret))["tree"]["files"][str(secret)][1] == 4


@pytest.mark.root
@_as_root
def test_directories_of_others_are_not_searched(las: str, program: Path) -> None:
    """Whether there is a file in a directory that a user may not search is not told either."""
    directory = program.with_name("closed")
    directory.mkdir(mode=0o700)
    (directory / "there").touch()
    (program.with_name("link")).symlink_to(directory / "there")
    told = {
        name: _ask(las, _manifest(program, path), str(_NOBODY))["message"].replace(str(path), "")
        for name, path in (
            ("there", directory / "there"),
            ("gone", directory / "gone"),
            ("link", program.with_name("link")),
        )
    }
    assert told["there"] == told["gone"] == told["link"]


@pytest.mark.root
@_as_root
def test_owner_and_group_count(las: str, program: Path) -> None:
    """A file for its owner alone, and one for a group, are measured for them."""
    for mode, user, group in ((0o400, _NOBODY, 0), (0o040, 0, _NOBODY)):
        program.chmod(mode)
        os.chown(program, user, group)
        assert "mrenclave" in _ask(las, _manifest(program), str(_NOBODY))
        assert "error" in _ask(las, _manifest(program), str(_NOBODY - 1))


@pytest.mark.root
@_as_root
@pytest.mark.skipif(shutil.which("setpriv") is None, reason="no setpriv here")
def test_service_without_rights_says_what_to_do(tmp_path: Path, program: Path) -> None:
    """A LAS that may not look into who asks refuses with a hint, over a unix socket and over TCP."""
    port = bind_tcp(Address("127.0.0.1", 0))
    number = port.getsockname()[1]
    port.close()
    command = ["setpriv", "--bounding-set", "-sys_ptrace", sys.executable, "-c", _SERVE]
    arguments = [str(tmp_path / "las"), str(tmp_path / "socket"), str(number)]
    with subprocess.Popen([*command, *arguments], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as service:
        try:
            assert service.stdout is not None
            assert service.stdout.readline() == b"ready\n"
            for address in (f"unix:{tmp_path}/socket", f"127.0.0.1:{number}"):
                refused = _ask(address, _manifest(program))
                assert refused["error"] == "DeniedError"
                assert "as root" in refused["hint"]
        finally:
            service.terminate()


def test_process_on_loopback_is_the_one_that_asks(private_path: Path, program: Path) -> None:
    """Over TCP the process that is found is the one on the other side, not one of its relatives or the service."""
    app = web_application(Las(SimulatedAttester(kept_key(private_path))))
    shell = f'sleep 60 & "$@"; kill $!; true {program}'
    with ThreadedServer(Endpoint(app=app, sock=bind_tcp(Address("127.0.0.1", 0)))) as server:
        answer = _ask(f"127.0.0.1:{server.port}", _manifest(program), before=["sh", "-c", shell, "sh"])
    assert answer["tree"]["program"] == str(program)
