"""A run on services of their own: three programs that serve, and one that executes."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

import pytest

from bannock.values import KeyHash

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_CAS = '[api]\nlisten = "127.0.0.1:0"\n[enclave]\nlisten = "127.0.0.1:0"\n'


def _bannock(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "bannock.cli.bannock", *arguments]


@contextmanager
def _serving(home: Path, lines: int, *arguments: str) -> Iterator[str]:
    """Start a service, yield what it says once it listens, and end it as an operator does."""
    environment = {"PATH": os.defpath, "HOME": str(home)}
    with subprocess.Popen(
        _bannock(*arguments), cwd=home, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        try:
            said = "".join(process.stdout.readline() for _ in range(lines))
            yield said
        finally:
            process.send_signal(signal.SIGTERM)
            _, log = process.communicate(timeout=30)
            assert process.returncode == 0, log
            assert "Traceback" not in log


def test_services_of_their_own(tmp_path: Path) -> None:
    """CAS, LAS and transfer service that run elsewhere are used as they are, known by address and key."""
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "file").write_text("content")
    (tmp_path / "cas.toml").write_text(_CAS)
    with ExitStack() as stack:
        cas = stack.enter_context(_serving(tmp_path, 3, "cas", "serve", "--config", "cas.toml", "--conf", "server"))
        stack.enter_context(
            _serving(tmp_path, 1, "las", "serve", "--no-tcp", "--unix", "las.sock", "--conf", "las-conf")
        )
        transfer = stack.enter_context(
            _serving(tmp_path, 1, "transfer", "serve", "--directory", "kept", "--listen", "127.0.0.1:0")
        )
        found = re.fullmatch(r"CAS (\w+)\n  for clients at (\S+)\n  for enclaves at (\S+)\n", cas)
        url = re.fullmatch(r"transfer service at (http://127\.0\.0\.1:\d+)\n", transfer)
        assert found is not None
        assert url is not None
        arguments = [
            *("execute", "--application", "copy_demo", "--input", "in", "--output", "out", "--conf", "conf"),
            *("--mount", "memory", "--las", f"unix:{tmp_path / 'las.sock'}", "--transfer", url[1]),
            *("--cas", found[2], "--cas-enclave", found[3]),
        ]
        environment = {"PATH": os.defpath, "HOME": str(tmp_path)}
        done, wrong = (
            subprocess.run(
                _bannock(*arguments, "--cas-key", key),
                cwd=tmp_path,
                env=environment,
                capture_output=True,
                text=True,
                check=False,
            )
            for key in (found[1], str(KeyHash(bytes(32))))
        )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out" / "file").read_text() == "content"
    assert not list((tmp_path / "kept").iterdir())
    assert not (tmp_path / "conf" / "cas").exists()
    assert wrong.returncode == 20
    assert "is not the one expected" in wrong.stderr


@pytest.mark.parametrize("verb", [["transfer", "serve", "--directory", "kept"], ["cas", "serve"], ["las", "serve"]])
def test_address_that_is_taken(tmp_path: Path, verb: list[str]) -> None:
    """A service that cannot listen says where, and leaves without a traceback."""
    config = tmp_path / "cas.toml"
    config.write_text(_CAS.replace("127.0.0.1:0", "192.0.2.1:1"))
    place = ["--config", str(config)] if verb[0] == "cas" else ["--listen", "192.0.2.1:1"]
    done = subprocess.run(
        _bannock(*verb, *place),
        cwd=tmp_path,
        env={"PATH": os.defpath, "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 50
    assert "cannot listen on 192.0.2.1:1" in done.stderr
    assert "Traceback" not in done.stderr
