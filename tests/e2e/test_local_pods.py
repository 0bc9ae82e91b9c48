"""``bannock k8s``: a chart runs on the engine, as its pods say, is changed, and goes without a trace."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from bannock.kubernetes.local.place import Place
from tests.charts import HELM_PATH, needs_helm, write_chart

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.containers import BaseImages, Engine

pytestmark = [pytest.mark.docker, needs_helm]

_SECONDS = 60


class Local:
    """The command ``bannock k8s`` of a user with a place of one's own."""

    def __init__(self, engine: Engine, directory: Path) -> None:
        self._engine = engine
        self.environment = {**engine.environment, "BANNOCK_HOME": str(directory / "home"), "PATH": HELM_PATH}
        self.command = [sys.executable, "-m", "bannock.cli.bannock", "k8s"]

    def run(self, *words: str, code: int = 0) -> str:
        """Run a verb to its end; give what it printed, and then what it told."""
        done = subprocess.run(
            [*self.command, *words], env=self.environment, capture_output=True, text=True, check=False, timeout=120
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    def pods(self, workload: str) -> list[dict[str, Any]]:
        """Give the pods of a workload."""
        return [
            pod
            for release in json.loads(self.run("list", "-A", "--json"))
            for pod in release["pods"]
            if pod["workload"] == workload
        ]

    def left(self) -> str:
        """Give what the engine has of it."""
        ours = ["--quiet", "--filter", f"label={Place.of(Path(self.environment['BANNOCK_HOME'])).label}"]
        kinds = ("container", "--all"), ("volume",), ("network",)
        return "".join(self._engine.output(kind, "ls", *options, *ours) for kind, *options in kinds)


@pytest.fixture
def local(engine: Engine, tmp_path: Path) -> Iterator[Local]:
    """Give it; whatever a test started is gone after it."""
    local = Local(engine, tmp_path)
    try:
        yield local
    finally:
        local.run("stop", "--all", "--volumes", "--grace", "0")
        assert not local.left()


def test_a_chart_is_run_changed_and_taken_away(local: Local, bases: BaseImages, tmp_path: Path) -> None:
    """What comes first runs first; volumes, variables, rights are those of the pod; an upgrade changes the least."""
    chart = str(write_chart(tmp_path / "demo", bases.busybox()))
    local.run("run", chart, "--detach", "--wait")
    (before,) = local.pods("job/demo-before")
    assert local.run("logs", before["pod"]).strip() == "400:0"
    (web,) = local.pods("deployment/demo-web")
    assert web["ready"]
    assert local.run("logs", "deployment/demo-web").splitlines() == [
        "by the first", "text: hello" + "uid=1000 gid=0(root) groups=0(root),1234", f"not told at {web['pod']}",
    ]  # fmt: skip
    # By its name in the network, and as somebody who may write to volumes alone.
    tried = "wget -qO- http://demo.default:8080/text; echo a > /data/a; ls -n /data/a; echo b > /b; echo $?"
    told = local.run("exec", "demo", "--", "/bin/sh", "-c", tried)
    assert "text: hello" in told
    assert " 1000 " in told
    assert "Read-only file system" in told
    # The template is as it was: the pod stays, and another one comes beside it.
    local.run("run", chart, "--detach", "--wait", "--set", "replicas=2")
    pods = {pod["pod"] for pod in local.pods("deployment/demo-web")}
    assert web["pod"] in pods
    assert len(pods) == 2
    # Another template: new pods, one after the other, and what the claim has is still there.
    words = ("--set", "command=cat /data/a; exec httpd -f -p 8080 -h /config")
    local.run("run", chart, "--detach", *words)
    (new,) = local.pods("deployment/demo-web")
    assert new["pod"] not in pods
    assert local.run("logs", "deployment/demo-web") == "a\n"
    # Pods that do not become ready replace nothing.
    told = local.run("run", chart, "--detach", "--set", "command=echo broken; exit 3", "--timeout", "3", code=50)
    assert "is not ready" in told or "ended" in told
    assert "broken" in told
    assert new["pod"] in {pod["pod"] for pod in local.pods("deployment/demo-web") if pod["ready"]}
    # A hook that fails stops the upgrade before anything is changed.
    assert "failed with exit code 7" in local.run("run", chart, "--detach", "--set", "fails=true", code=50)
    local.run("stop", "demo")
    assert not local.left()


def test_attended(local: Local, bases: BaseImages, tmp_path: Path) -> None:
    """Without --detach it shows what pods print, and Ctrl-C leaves nothing."""
    chart = str(write_chart(tmp_path / "demo", bases.busybox()))
    process = subprocess.Popen(
        [*local.command, "run", chart], env=local.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    with process:
        assert process.stdout is not None
        told, end = b"", time.monotonic() + _SECONDS
        while b"not told at" not in told:
            piece = os.read(process.stdout.fileno(), 1 << 16)
            assert piece, process.communicate()
            assert time.monotonic() < end, told
            told += piece
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=_SECONDS)
        assert process.returncode == 130
    assert b" web: by the first\n" in told
    assert not local.left()


def test_stateful_sets(local: Local, bases: BaseImages, tmp_path: Path) -> None:
    """Each pod has a name and a claim of its own; claims outlive the release unless one says otherwise."""
    chart = str(write_chart(tmp_path / "demo", bases.busybox(), stateful=True))
    local.run("run", chart, "--detach")
    assert [pod["pod"] for pod in local.pods("statefulset/demo-set")] == ["demo-set-0", "demo-set-1"]
    told = local.run("stop", "demo")
    assert "data-demo-set-0, data-demo-set-1" in told
    local.run("run", chart, "--detach", "--wait")
    end = time.monotonic() + _SECONDS
    # That it runs says nothing of what it has printed.
    while not (printed := local.run("logs", "demo-set-1")):
        assert time.monotonic() < end
    assert printed.split() == ["2", "demo-set-1"]


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ("apiVersion: v1\nkind: CronJob\nmetadata: {name: x}\n", "objects of kind 'CronJob' are not supported"),
        (
            "kind: Pod\nmetadata: {name: x}\nspec: {containers: [{name: a, image: b, lifecycle: {a: b}}]}\n",
            "containers a: lifecycle is not supported on the local engine",
        ),
    ],
)
def test_what_is_not_supported_is_named(
    local: Local, bases: BaseImages, tmp_path: Path, document: str, expected: str
) -> None:
    """It is an error before anything is started."""
    chart = write_chart(tmp_path / "demo", bases.busybox(), more=document)
    assert expected in local.run("run", str(chart), "--detach", code=2)
    assert not local.left()
