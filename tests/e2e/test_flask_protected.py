"""The patient service, made a protected image: its directories are found by a trace, its TLS key is in no file."""

from __future__ import annotations

import json
import socket
import ssl
import subprocess
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from tests.e2e.test_flask import composed, native_example, talk

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.containers import BaseImages, Engine

pytestmark = [pytest.mark.docker, pytest.mark.root, pytest.mark.fuse, pytest.mark.slow]

_PYTHON = [sys.executable, "-I", "-m"]


@contextmanager
def _service(directory: Path, told: str, *arguments: str) -> Iterator[None]:
    log = directory / f"{arguments[0]}.log"
    command = [*_PYTHON, "bannock.cli.bannock", *arguments, "--conf", str(directory / "conf")]
    with log.open("wb") as output, subprocess.Popen(command, stdout=output, stderr=output) as process:
        try:
            end = time.monotonic() + 60
            while told not in log.read_text():
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < end, log.read_text()
                time.sleep(0.1)
            yield
        finally:
            process.terminate()


def test_the_protected_service(engine: Engine, bases: BaseImages, tmp_path: Path) -> None:
    """A trace says what to encrypt; clients know the service by its CA in the CAS; nothing secret is in the image."""
    example = native_example(engine, bases, tmp_path)
    bridge = json.loads(engine.output("network", "inspect", "bridge"))[0]["IPAM"]["Config"][0]
    host = bridge.get("Gateway", "172.17.0.1")
    with (
        socket.create_server((host, 0)) as one,
        socket.create_server((host, 0)) as two,
        socket.create_server((host, 0)) as three,
    ):
        api, enclave, las = (f"{host}:{free.getsockname()[1]}" for free in (one, two, three))
    (tmp_path / "conf").mkdir(mode=0o700)
    config = tmp_path / "cas.toml"
    config.write_text(f'[api]\nlisten = "{api}"\n[enclave]\nlisten = "{enclave}"\n')
    with (
        _service(tmp_path, "for enclaves at", "cas", "serve", "--config", str(config)),
        _service(tmp_path, "LAS at", "las", "serve", "--listen", las),
    ):
        session, told = _sconified(engine, tmp_path, example, api, enclave, las)
        assert "protected: /app: code that the program loads: rest_api.py" in told
        authority = example / "ca.crt"
        authority.write_text(_exported(api, session, "api_ca_cert"))
        with composed(engine, example, "docker-compose.yml", IMAGE=engine.name("flask-protected")) as port:
            talk(port, authority)
            (container,) = engine.output("ps", "-q", "--filter", f"ancestor={engine.name('flask-protected')}").split()
            found = engine.run("exec", "-u", "0", container, "ls", "-A", "/app", "/tls", check=False)
            assert "rest_api.py" not in found.stdout
            assert "flask.key" not in found.stdout
            # Names of fields are in the program alone.
            look = ["find", "/", "-xdev", "-type", "f", "-exec", "grep", "-l", "preexistingconditions", "{}", "+"]
            assert engine.run("exec", "-u", "0", container, *look, check=False).stdout == ""


def _sconified(engine: Engine, home: Path, example: Path, api: str, enclave: str, las: str) -> tuple[str, str]:
    """Make the protected image; give the name of the session, and what was told."""
    options = {
        "from": engine.name("flask-native"),
        "to": engine.name("flask-protected"),
        "cas": api,
        "cas-in-image": enclave,
        "las": las,
        "namespace": "clinic",
        "name": "flask",
        "binary": "/usr/bin/python3",
        "trace": "auto",
    }
    flags = ["--cas-debug", "--create-namespace", "--allow-debug-mode"]
    words = [*_PYTHON, "bannock.cli.sconify_image", *flags, *(f"--{name}={value}" for name, value in options.items())]
    done = subprocess.run(
        ["/bin/bash", "-c", '. "$0" && exec "$@"', str(example / "session-parts.sh"), *words],
        env={**engine.environment, "HOME": str(home)},
        cwd=home,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "clinic/flask\n"
    return done.stdout.strip(), done.stderr


def _exported(api: str, session: str, secret: str) -> str:
    """Give what a session exports to the public, as curl gets it."""
    url = f"https://{api}/v1/values/session={session},secret={secret}"
    command = ["/usr/bin/curl", "-sS", "-k", "--noproxy", "*", url]
    answer = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    value = str(json.loads(answer.stdout)["value"])
    ssl.PEM_cert_to_DER_cert(value)
    return value
