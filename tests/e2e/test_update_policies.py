"""Update policies of a session, down to the files of programs: kept, forgotten, or put back by the host."""

from __future__ import annotations

import json
import shutil
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bannock.cas import EmbeddedCas
from bannock.errors import RollbackError
from bannock.las.service import EmbeddedLas
from bannock.net.client import connect
from bannock.net.tls import Identity
from bannock.shield.fspf import Fspf, encrypt_fspf
from bannock.shield.regions import Protection, Region
from tests.e2e import machine

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator

    from bannock.values import FspfKey, FspfTag

#: Each run counts one further, in the file that its service has.
_COUNT = "n=$(cat {file} 2>/dev/null || echo 0); echo $((n + 1)) > {file}; cat {file}"
_SESSION = """
name: demo
version: "0.3.11"
{predecessor}
services:
  - {{name: app, command: [/bin/sh, -c, "{count_main}"],
      fspf_path: {state}/main.fspf, fspf_key: {key}, fspf_tag: {tag}}}
  - {{name: waiting, command: [/bin/sh, -c, "{wait}"],
      fspf_path: {state}/main.fspf, fspf_key: {key}, fspf_tag: {tag}}}
  - {{name: free, command: [/bin/sh, -c, "{count_main}"],
      fspf_path: {state}/main.fspf, fspf_key: {key}, fspf_update_policy: no_rollback_protection}}
  - {{name: writer, image_name: writer, command: [/bin/sh, -c, "{count}"]}}
  - {{name: reader, image_name: reader, command: [/bin/sh, -c, "{count}"]}}
  - {{name: loose, image_name: loose, command: [/bin/sh, -c, "{count}"]}}
images:
  - {{name: writer, volumes: [{{name: data, path: /data}}]}}
  - {{name: reader, volumes: [{{name: data, path: /data, update_policy: ephemeral}}]}}
  - {{name: loose, volumes: [{{name: data, path: /data, update_policy: no_rollback_protection}}]}}
volumes: [{{name: data}}]
security: {{attestation: {{mode: none}}}}
"""
_SECONDS = 60
#: Shows a directory at the place of another one to a program, as a container does.
_SHOW = ("unshare", "--mount", "sh", "-c", 'mount --bind "$0" "$1"; shift; exec "$@"')


@dataclass(kw_only=True)
class Deployment:
    """A CAS with a session, a LAS, and what the services of the session work on."""

    home: Path
    cas: EmbeddedCas
    las: EmbeddedLas
    owner: Identity
    mount: str

    @property
    def state(self) -> Path:
        """Where the session says that the main protection file is."""
        return self.home / "state"

    def run(self, service: str, *, state: Path | None = None) -> subprocess.CompletedProcess[str]:
        """Run a service, on a copy of what its main protection file protects."""
        prefix = () if state is None else (*_SHOW, str(state), str(self.state))
        return machine.run(
            machine.User(machine.ourselves().python, prefix),
            ["run", "--mount", self.mount, "--volume", f"data={self.home / 'data'}", "--", "/bin/sh"],
            home=self.home,
            SCONE_CAS_ADDR=str(self.cas.enclave_address),
            BANNOCK_CAS_KEY=str(self.cas.key_hash),
            SCONE_LAS_ADDR=self.las.address,
            SCONE_CONFIG_ID=f"demo/{service}",
        )

    def count(self, service: str, *, state: Path | None = None) -> int:
        """Run a service that counts, and give how far it came."""
        done = self.run(service, state=state)
        assert done.returncode == 0, done.stderr
        return int(done.stdout)

    def post(self, key: FspfKey, tag: FspfTag, predecessor: str = "") -> str:
        """Make the session, or its next version, and give its hash."""
        count = _COUNT.format(file="/work/count")
        pause = f"; : > {self.state}/ready; until [ -e {self.state}/go ]; do sleep 0.02; done; "
        text = _SESSION.format(
            predecessor=f"predecessor: {predecessor}" if predecessor else "",
            key=key.reveal_hex(),
            tag=tag,
            state=self.state,
            count_main=count,
            wait=count + pause + count,
            count=_COUNT.format(file="/data/count"),
        )
        with connect(*self.cas.client_address, self.owner, expected_peer=self.cas.key_hash) as client:
            answer = client.request("POST", "/session", text.encode())
        assert answer.status == 201, answer.body
        return str(json.loads(answer.body)["hash"])


@pytest.fixture(params=[pytest.param("fuse", marks=pytest.mark.fuse), "memory"])
def deployment(request: pytest.FixtureRequest, home: Path) -> Iterator[Deployment]:
    """Everything but the session."""
    with EmbeddedCas(home / "cas") as cas, EmbeddedLas(home / "las") as las:
        (home / "state").mkdir()
        yield Deployment(home=home, cas=cas, las=las, owner=Identity.generate("owner"), mount=request.param)


def _main(deployment: Deployment, directory: Path) -> tuple[FspfKey, FspfTag]:
    """Make a main protection file with one region, as an administrator does."""
    directory.mkdir()
    path = directory / "main.fspf"
    Fspf.create(path)
    with Fspf.open(path) as fspf:
        fspf.add_region(Region(path="/work", protection=Protection.ENCRYPTED, kernel=f"{deployment.state}/files"))
        fspf.commit()
    tag, key = encrypt_fspf(path)
    return key, tag


def _copy(source: Path, name: str) -> Path:
    return Path(shutil.copytree(source, source.with_name(name)))


@pytest.mark.root
def test_a_main_protection_file_moves_on_and_starts_again(deployment: Deployment, tmp_path: Path) -> None:
    """Each start is in the last state; an older one is refused, the first one is not, and then it is the line."""
    state = tmp_path / "state"
    deployment.post(*_main(deployment, state))
    new = _copy(state, "new")
    # As long as there was one commit, the disk still holds the first state beside it.
    assert [deployment.count("app", state=state) for _ in range(2)] == [1, 2]
    old = _copy(state, "old")
    assert deployment.count("app", state=state) == 3
    refused = deployment.run("app", state=old)
    assert (refused.returncode, refused.stdout) == (RollbackError.exit_code, "")
    assert "is in state" in refused.stderr
    assert deployment.count("app", state=new) == 1
    assert deployment.run("app", state=state).returncode == RollbackError.exit_code
    assert deployment.count("app", state=new) == 2


@pytest.mark.root
def test_instances_run_at_the_same_time(deployment: Deployment, tmp_path: Path) -> None:
    """Two of them, each with its copy, and neither keeps the other from going on."""
    one = tmp_path / "one"
    deployment.post(*_main(deployment, one))
    other = _copy(one, "other")
    done: list[subprocess.CompletedProcess[str]] = []
    threads = [
        threading.Thread(target=lambda state=state: done.append(deployment.run("waiting", state=state)))
        for state in (one, other)
    ]
    for thread in threads:
        thread.start()
    try:
        deadline = time.monotonic() + _SECONDS
        while not all((state / "ready").exists() for state in (one, other)) and time.monotonic() < deadline:
            time.sleep(0.02)
    finally:
        for state, thread in zip((one, other), threads, strict=True):
            (state / "go").touch()
            thread.join()
    assert [(run.returncode, run.stdout) for run in done] == [(0, "1\n2\n")] * 2, [run.stderr for run in done]
    committed = [entry for entry in deployment.cas.cas.audit_log() if entry.event == "service_fspf_tag_updated"]
    assert any("instead-of" in entry.facts for entry in committed)


@pytest.mark.root
def test_a_copy_that_was_left_behind_does_not_start_over(deployment: Deployment, tmp_path: Path) -> None:
    """Its first state is still on its disk and would do, yet what it had committed after that would be lost."""
    one = tmp_path / "one"
    deployment.post(*_main(deployment, one))
    other = _copy(one, "other")
    assert [deployment.count("app", state=state) for state in (one, other)] == [1, 1]
    refused = deployment.run("app", state=one)
    assert (refused.returncode, refused.stdout) == (RollbackError.exit_code, "")
    assert "has moved on since" in refused.stderr
    assert deployment.count("app", state=other) == 2


@pytest.mark.root
def test_an_unprotected_main_protection_file_is_put_back_unnoticed(deployment: Deployment, tmp_path: Path) -> None:
    """The session says that nobody minds."""
    state = tmp_path / "state"
    deployment.post(*_main(deployment, state))
    assert deployment.count("free", state=state) == 1
    old = _copy(state, "old")
    assert deployment.count("free", state=state) == 2
    assert deployment.count("free", state=old) == 2


@pytest.mark.root
def test_a_session_that_replaces_the_main_protection_file(deployment: Deployment, tmp_path: Path) -> None:
    """Its states of before are no states of the new one, whichever the last was."""
    state, new = tmp_path / "state", tmp_path / "new"
    digest = deployment.post(*_main(deployment, state))
    assert deployment.count("app", state=state) == 1
    deployment.post(*_main(deployment, new), predecessor=digest)
    assert deployment.run("app", state=state).returncode != 0
    assert [deployment.count("app", state=new) for _ in range(2)] == [1, 2]


def test_update_policies_of_a_volume(deployment: Deployment, tmp_path: Path) -> None:
    """One service writes, one forgets, one takes what it finds; and all see the one state that the volume is in."""
    deployment.post(*_main(deployment, tmp_path / "state"))
    data, old = deployment.home / "data", deployment.home / "old"
    early = deployment.run("reader")
    assert "has no content yet" in early.stderr
    assert [deployment.count("writer") for _ in range(2)] == [1, 2]
    shutil.copytree(data, old)
    assert [deployment.count("reader") for _ in range(2)] == [3, 3]
    assert deployment.count("writer") == 3
    # The host puts an older state back: only the service whose session does not mind takes it.
    shutil.rmtree(data)
    old.rename(data)
    assert [deployment.run(service).returncode for service in ("writer", "reader")] == [RollbackError.exit_code] * 2
    assert deployment.count("loose") == 3
    assert deployment.count("writer") == 4
