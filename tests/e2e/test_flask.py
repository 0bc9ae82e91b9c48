"""The patient service, an ordinary Flask application: native, and what a trace says is to be protected of it."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from bannock.images.engine_socket import EngineSocket
from bannock.images.places import Places
from bannock.images.tracing.chosen import AUTO, choose_directories
from tests.e2e.machine import REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.containers import BaseImages, Engine

pytestmark = pytest.mark.docker

_PATIENT = {
    "fname": "Jane",
    "lname": "Doe",
    "address": "'123 Main Street'",
    "city": "Richmond",
    "state": "Washington",
    "ssn": "123-223-2345",
    "email": "nr@aaa.com",
    "dob": "01/01/2010",
    "contactphone": "123-234-3456",
    "drugallergies": "'Sulpha, Penicillin, Tree Nut'",
    "preexistingconditions": "'diabetes, hypertension, asthma'",
    "dateadmitted": "01/05/2010",
    "insurancedetails": "'Primera Blue Cross'",
}
_START_SECONDS = 60.0


@pytest.fixture(scope="module")
def example(engine: Engine, bases: BaseImages, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example's directory, with the native image and a certificate to try it with."""
    return native_example(engine, bases, tmp_path_factory.mktemp("example"))


def native_example(engine: Engine, bases: BaseImages, place: Path) -> Path:
    """Make a copy of the example, with the native image and a certificate to try it with."""
    directory = place / "flask"
    shutil.copytree(REPOSITORY / "examples" / "flask", directory, ignore=shutil.ignore_patterns("tls", "__pycache__"))
    names = {"BASE_IMAGE": bases.python(), "NATIVE_IMAGE": engine.name("flask-native")}
    done = subprocess.run(
        [str(directory / "create_native_image.sh")],
        env={**engine.environment, **names},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return directory


def test_the_native_service(engine: Engine, example: Path) -> None:
    """It takes a patient once, gives it back, and knows no other ones, over TLS."""
    with composed(engine, example, "native-docker-compose.yml", NATIVE_IMAGE=engine.name("flask-native")) as port:
        talk(port, example / "tls" / "flask.crt")


def test_what_a_trace_says(engine: Engine, example: Path) -> None:
    """The application, Python and its libraries are to be protected; what a host could add beside them is told."""
    environment = {"DOCKER_HOST": engine.host, "HOME": str(example)}
    name = f"docker-daemon:{engine.name('flask-native')}"
    with Places.prepared(environment=environment) as places:
        chosen = choose_directories(
            places.open(name), AUTO, binary="/usr/bin/python3", places=places, engine=EngineSocket(engine.socket)
        )
    choice = chosen.choice
    assert "bannock-trace" not in engine.output("images", "--format", "{{.Repository}}")
    # The image has no certificate, so the service cannot serve.
    assert "flask.crt" in chosen.warning or "No such file" in chosen.warning
    reasons = {one.path: one.reason for one in choice.directories}
    assert {"/app", "/usr/lib/python3", "/usr/lib/python3.11", "/usr/lib/x86_64-linux-gnu"} <= reasons.keys()
    assert "rest_api.py" in reasons["/app"]
    assert "libcrypto.so.3" in reasons["/usr/lib/x86_64-linux-gnu"]
    told = {one.path: one.reason for one in choice.in_clear}
    assert "python311.zip, in vain" in told["/usr/lib"]
    assert "pyvenv.cfg" in told["/usr"]


@contextmanager
def composed(engine: Engine, directory: Path, file: str, **settings: str) -> Iterator[int]:
    """Start a service with docker-compose, and give its port; it is gone afterwards."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = int(free.getsockname()[1])
    environment = {**engine.environment, **settings, "PORT": str(port), "COMPOSE_PROJECT_NAME": engine.name("flask")}
    compose = ["docker-compose", "--file", str(directory / file)]

    def run(*arguments: str) -> str:
        done = subprocess.run([*compose, *arguments], env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout + done.stderr

    try:
        run("up", "-d")
        end = time.monotonic() + _START_SECONDS
        while not _answers(port):
            assert time.monotonic() < end, run("logs", "--no-color")
            time.sleep(0.1)
        yield port
    finally:
        run("down", "-v", "-t", "1")


def _answers(port: int) -> bool:
    """Whether TLS is spoken there: the engine's own proxy takes connections before the service does."""
    done = subprocess.run(
        ["/usr/bin/curl", "-s", "-k", "-m", "2", f"https://127.0.0.1:{port}/"], capture_output=True, check=False
    )
    return done.returncode == 0


def _curl(port: int, certificate: Path, path: str, *options: str) -> tuple[int, Any]:
    url = f"https://api:{port}{path}"
    to = ["--cacert", str(certificate), "--resolve", f"api:{port}:127.0.0.1", "-m", "10"]
    done = subprocess.run(
        ["/usr/bin/curl", "-sS", "-w", "\n%{http_code}", *to, *options, url],
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    body, _, status = done.stdout.rpartition("\n")
    return int(status), json.loads(body)


def talk(port: int, certificate: Path) -> None:
    """Have the conversation that the native service and the protected one have alike."""
    form = "&".join(f"{name}={value}" for name, value in _PATIENT.items())
    status, made = _curl(port, certificate, "/patient/patient_3", "-X", "POST", "-d", form)
    assert status == 200
    assert made.items() >= (_PATIENT | {"id": "patient_3"}).items()
    assert _curl(port, certificate, "/patient/patient_3") == (200, made)
    assert _curl(port, certificate, "/score/patient_3") == (200, {"id": "patient_3", "score": made["score"]})
    assert _curl(port, certificate, "/patient/patient_3", "-X", "POST", "-d", form)[0] == 403
    assert _curl(port, certificate, "/patient/patient_4") == (404, {"error": "unknown patient_id"})
    status, answer = _curl(port, certificate, "/patient/patient_4", "-X", "POST", "-d", "fname=Jane")
    assert status == 400
    assert answer["error"].startswith("missing: lname, address")
