"""A run that is broken off leaves nothing: no process, no file."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

_DESCRIPTION = """
name: sleeper
program: bin/sleep.sh
service: sleeper
input: inputs
output: outputs
session: session.yaml
"""
_SESSION = """
name: $SESSION
version: "0.3.10"
security: {attestation: {tolerate: [simulation]}}
services:
  - {name: sleeper, image_name: sleeper, mrenclaves: [$MRENCLAVE], command: /app/bin/sleep.sh, pwd: /}
images:
  - name: sleeper
    volumes: [{name: inputs, path: /encryptedInputs}, {name: outputs, path: /encryptedOutputs}]
volumes:
  - {name: inputs, fspf_key: $INPUT_FSPF_KEY, fspf_tag: $INPUT_FSPF_TAG}
  - {name: outputs, fspf_key: $OUTPUT_FSPF_KEY, fspf_tag: $OUTPUT_FSPF_TAG}
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A place with a bundle that runs for long, inputs, and a directory for temporary files."""
    bundle = tmp_path / "bundle"
    (bundle / "bin").mkdir(parents=True)
    (bundle / "application.yaml").write_text(_DESCRIPTION)
    (bundle / "session.yaml").write_text(_SESSION)
    (bundle / "bin" / "sleep.sh").write_text("#!/bin/sh\n/bin/sleep 86.421\n")
    (bundle / "bin" / "sleep.sh").chmod(0o755)
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "file").write_text("content")
    (tmp_path / "tmp").mkdir()
    return tmp_path


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signal_ends_everything(home: Path, number: signal.Signals, code: int) -> None:
    """Ctrl-C and SIGTERM end the application, the runtime and the services, and remove what was temporary."""
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "bannock.cli.bannock", "execute", "--application", "./bundle", "--input", "in"),
            *("--output", "out", "--conf", "conf", "--mount", "memory"),
        ],
        cwd=home,
        env={"PATH": os.defpath, "TMPDIR": str(home / "tmp"), "HOME": str(home)},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        _wait_for_application()
        process.send_signal(number)
        _, told = process.communicate(timeout=30)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == code, told
    assert told.endswith("Interrupted\n")
    assert not _applications()
    assert list((home / "tmp").iterdir()) == []
    assert list((home / "conf" / "hosts" / "local" / "runs").iterdir()) == []
    assert not (home / "out").exists()


def _wait_for_application() -> None:
    deadline = time.monotonic() + 30
    while not _applications():
        assert time.monotonic() < deadline, "the application did not start"
        time.sleep(0.05)


def _applications() -> list[str]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if b"sleep\0" + b"86.421\0" in path.read_bytes():
                found.append(path.parent.name)
        except OSError:
            continue
    return found
