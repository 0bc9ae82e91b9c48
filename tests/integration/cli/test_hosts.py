"""The commands for hosts, with a real sshd."""

from __future__ import annotations

import json
import os
import pty
import shutil
import socket
import subprocess
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from bannock.cli import bannock
from bannock.execution.hosts.book import HostBook
from bannock.execution.runs.book import RunBook
from bannock.execution.runs.record import RunRecord, RunSecrets
from tests.ssh_host import SshHost, added, running_ssh_host

if TYPE_CHECKING:
    from pathlib import Path


class _Bannock:
    """Runs command lines of ``bannock`` with one configuration."""

    def __init__(self, conf: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self._conf = conf
        self._capsys = capsys

    def __call__(self, verb: str, *arguments: str) -> tuple[int, str, str]:
        self._capsys.readouterr()
        code = bannock.main([verb, *arguments, "--conf", str(self._conf)])
        told = self._capsys.readouterr()
        return code, told.out, told.err


@pytest.fixture
def command(private_path: Path, capsys: pytest.CaptureFixture[str]) -> _Bannock:
    """The command."""
    return _Bannock(private_path, capsys)


@pytest.fixture
def user_ssh(ssh_host: SshHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A user who can log in at the host by an own key, with plain ``ssh``: who runs the line."""
    programs = tmp_path / "programs"
    programs.mkdir()
    key = tmp_path / "user_key"
    ssh, ssh_keygen = shutil.which("ssh"), shutil.which("ssh-keygen")
    assert ssh is not None
    assert ssh_keygen is not None
    subprocess.run([ssh_keygen, "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    wrapper = programs / "ssh"
    # As somebody has it who has logged in before.
    wrapper.write_text(
        f'#!/bin/sh\nexec {ssh} -F none -i {key} -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null "$@"\n'
    )
    wrapper.chmod(0o755)
    ssh_host.grant(key.with_suffix(".pub").read_text())
    monkeypatch.setenv("USER_PATH", f"{programs}:{os.environ['PATH']}")


def _add(host: SshHost, *further: str) -> tuple[str, ...]:
    place = ("--hostname", host.hostname, "--port", str(host.port), "--user", host.user)
    return ("add-host", "--alias", "caroline", *place, *further)


def _in_shell(shell: str, script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    path = shutil.which(shell)
    if path is None:
        pytest.skip(f"needs {shell}")
    environment = {**os.environ, "PATH": os.environ["USER_PATH"]}
    return subprocess.run(
        [path, "-c", script, shell, *arguments],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        stdin=subprocess.DEVNULL,
    )


@pytest.mark.usefixtures("user_ssh")
@pytest.mark.parametrize(("shell", "script"), [("sh", 'eval "$1"'), ("bash", "eval $1")])
def test_the_line_lets_in(command: _Bannock, ssh_host: SshHost, shell: str, script: str) -> None:
    """The one line on standard output grants access, in any shell, with quotes around it or not, once or twice."""
    # A file whose last line somebody has not ended.
    before = ssh_host.authorized_keys.read_text().rstrip("\n")
    ssh_host.authorized_keys.write_text(before)
    code, line, told = command(*_add(ssh_host))
    assert code == 0
    assert line.startswith(f"ssh -p {ssh_host.port} {ssh_host.user}@127.0.0.1 ")
    assert line.count("\n") == 1
    assert ssh_host.fingerprint() in told
    for _ in range(2):
        done = _in_shell(shell, script, line)
        assert done.returncode == 0, done.stderr
    (granted,) = [row for row in ssh_host.authorized_keys.read_text().splitlines() if row.startswith("restrict")]
    assert granted.endswith("bannock-caroline")
    assert before in ssh_host.authorized_keys.read_text().splitlines()
    again = command(*_add(ssh_host))
    assert again[:2] == (code, line)
    assert "ssh" in again[2]
    assert "engine" in again[2]


@pytest.mark.usefixtures("user_ssh")
def test_the_line_of_removal_lets_in_no_more(command: _Bannock, ssh_host: SshHost) -> None:
    """What remove-host prints takes away what add-host's line gave, and no other key."""
    before = ssh_host.authorized_keys.read_text()
    assert _in_shell("sh", 'eval "$1"', command(*_add(ssh_host))[1]).returncode == 0
    code, line, told = command("remove-host", "caroline")
    assert (code, told) == (0, "host caroline is forgotten, with its keys\n")
    assert _in_shell("sh", 'eval "$1"', line).returncode == 0
    assert ssh_host.authorized_keys.read_text().split("\n") == [*before.split("\n"), ""]
    assert command("remove-host", "caroline")[0] == 31


def test_a_host_with_runs_is_not_forgotten(command: _Bannock, ssh_host: SshHost, private_path: Path) -> None:
    """As long as there may be containers and outputs of ours on a host, its key is kept, unless one insists."""
    added(private_path, ssh_host)
    record = RunRecord(
        name="copy-1",
        made="2026-01-01T00:00:00+00:00",
        host="caroline",
        application="copy",
        image="copy",
        title="copy",
        program="/bin/cp",
        service="copy",
        input_volume="input",
        output_volume="output",
        input="/in",
        output="/out",
    )
    secrets = RunSecrets(template="", variables={}, sessions=())
    with RunBook(private_path).begin(record, secrets):
        code, out, told = command("remove-host", "caroline")
        assert (code, out) == (32, "")
        assert "runs that are not done: copy-1" in told
        assert command("remove-host", "caroline", "--force")[0] == 0


def test_users_and_ports_of_the_seed(command: _Bannock) -> None:
    """Without further options one is ``ubuntu`` there; a host that is away is added, and said to be away."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    code, line, told = command("add-host", "--alias", "caroline", "--hostname", "127.0.0.1", "--port", str(port))
    assert code == 0
    assert line.startswith(f"ssh -p {port} ubuntu@127.0.0.1 '")
    assert "not met" in told
    assert "Connection refused" in told
    code, out, _ = command("list-hosts")
    assert code == 0
    assert out.startswith(f"caroline  ubuntu@127.0.0.1:{port}  added ")
    assert out.endswith("  not met so far\n")


def test_nothing_secret_is_told(command: _Bannock, ssh_host: SshHost, private_path: Path) -> None:
    """No command shows anything of the private key."""
    told = [*command(*_add(ssh_host)), *command(*_add(ssh_host, "--json")), *command("list-hosts", "--json")]
    private = (private_path / "hosts" / "caroline" / "id_ed25519").read_text().splitlines()[1:-1]
    assert not [line for line in private if line in str(told)]


def test_on_a_terminal_the_line_is_all_there_is(ssh_host: SshHost, private_path: Path) -> None:
    """Where outputs share a terminal, as in ``docker run -t``, all that follows the line is its comment."""
    ours, theirs = pty.openpty()
    words = [sys.executable, "-m", "bannock.cli.bannock", *_add(ssh_host, "--conf", str(private_path))]
    with subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        data = b""
        with suppress(OSError):  # the terminal is gone when the last process is
            while block := os.read(ours, 65536):
                data += block
        os.close(ours)
    assert process.returncode == 0
    first, *rest = data.decode().splitlines()
    assert first.startswith("ssh -p ")
    assert first.endswith("' #")
    assert rest
    assert all(line.startswith("# ") for line in rest)
    shell = subprocess.run(
        ["/bin/sh", "-c", "set -n; eval $1", "sh", data.decode()], capture_output=True, text=True, check=False
    )
    assert (shell.returncode, shell.stderr) == (0, "")


def test_a_key_that_is_known_beforehand(command: _Bannock, ssh_host: SshHost, private_path: Path) -> None:
    """With a fingerprint, no other host is met, and nothing of it is kept."""
    right, wrong = ssh_host.fingerprint(), "SHA256:" + "A" * 43
    code, out, told = command(*_add(ssh_host, "--host-key", wrong))
    assert (code, out) == (20, "")
    assert f"it shows {right}" in told
    assert HostBook(private_path).pinned("caroline") == ()
    assert command(*_add(ssh_host, "--host-key", "SHA1:x"))[0] == 2
    assert command(*_add(ssh_host, "--host-key", right))[0] == 0
    assert HostBook(private_path).pinned("caroline") == (right,)


def test_a_host_with_a_new_key(command: _Bannock, private_path: Path, tmp_path: Path) -> None:
    """A host whose key has changed is refused, until somebody says that the new one is right."""
    with running_ssh_host(tmp_path) as host:
        added(private_path, host)
        assert command(*_add(host))[0] == 0
        host.stop()
        host.have_new_key()
        host.start()
        code, out, told = command(*_add(host))
        assert (code, out) == (20, "")
        assert "another key than the one that is pinned" in told
        assert "--host-key" in told
        code, out, _ = command("check-host", "caroline")
        assert code == 50
        assert "MISSING  ssh" in out
        assert command(*_add(host, "--host-key", host.fingerprint()))[0] == 0
        assert HostBook(private_path).pinned("caroline") == (host.fingerprint(),)


def test_a_host_that_was_never_added(command: _Bannock) -> None:
    """An unknown alias is an error that says what there is."""
    code, _, told = command("check-host", "carolin")
    assert code == 31
    assert "there are local" in told
    assert "add-host --alias carolin" in told
    assert command("check-host")[0] == 2
    assert command("check-host", "a", "--alias", "b")[0] == 2


def test_a_damaged_record_is_made_anew(command: _Bannock, ssh_host: SshHost, private_path: Path) -> None:
    """What has become unreadable is named, and adding the host again mends it with the same key."""
    line = command(*_add(ssh_host))[1]
    (private_path / "hosts" / "caroline" / "host.json").write_text("{")
    code, _, told = command("check-host", "caroline")
    assert code == 2
    assert "add the host again" in told
    assert command(*_add(ssh_host))[:2] == (0, line)


def test_a_host_without_an_engine(command: _Bannock, ssh_host: SshHost, private_path: Path) -> None:
    """A host without a usable engine or LAS is told so, thing by thing, and the exit code says it too."""
    added(private_path, ssh_host)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        las = f"127.0.0.1:{taken.getsockname()[1]}"
    command(*_add(ssh_host, "--engine", "/nowhere/docker.sock", "--las", las))
    code, out, told = command("check-host", "caroline", "--json")
    found = {finding["what"]: finding for finding in json.loads(out)["findings"]}
    assert code == 50
    assert told.startswith("Error: host caroline lacks what runs need: engine, las\n")
    assert not json.loads(out)["ready"]
    assert {what for what, finding in found.items() if finding["state"] == "missing"} == {"engine", "las"}
    assert "docker.io" in found["engine"]["hint"]
    assert "--start-las" in found["las"]["hint"]
    assert ssh_host.fingerprint() in found["ssh"]["found"]
    assert found["tunnels"]["state"] == "ok"
