"""How long containers take to start: to the end of a program that does nothing, and to a service's first answer."""

from __future__ import annotations

import socket
import ssl
import subprocess
import time
from typing import TYPE_CHECKING, Final

from benchmarks.images.place import timed
from benchmarks.images.results import NATIVE, Measured
from tests.e2e.test_flask import native_example
from tests.protected_images import FUSE, MEMORY

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from benchmarks.images.place import Place

__all__ = ["Starts"]

_NOTHING: Final = "python3 -c pass"
_FLASK: Final = "Flask service, first answer"
#: That of the example.
_PORT: Final = 4996
_ANSWER_SECONDS: Final = 60.0
_STEP_SECONDS: Final = 0.002
_HOW: Final = {"sconified, FUSE": FUSE, "sconified, memory": MEMORY}
#: As on any machine without this test's security module settings; where there is no AppArmor it changes nothing.
_UNCONFINED: Final = ("--security-opt", "apparmor=unconfined")


class Starts:
    """Images that are made once, and started again and again."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._engine = place.engine
        self._pass = self._of_nothing()
        example = native_example(place.engine, place.bases, _new(place.directory / "example"))
        self._tls = example / "tls"
        parts = _parts(example / "session-parts.sh")
        self._flask = place.engine.name("flask-native")
        for native, name, more in ((self._pass, "pass", {}), (self._flask, "flask", parts)):
            cache = place.directory / "cache"
            place.sconify(native, f"{native}-protected", name, "--trace=auto", cache=cache, parts=more)

    def measure(self) -> Iterator[tuple[str, Measured]]:
        """Start everything once, and say how long each took."""
        yield f"{_NOTHING}: {NATIVE}", self._run(self._pass)
        for how, options in _HOW.items():
            yield f"{_NOTHING}: {how}", self._run(f"{self._pass}-protected", *options, *_UNCONFINED)
        yield f"{_FLASK}: {NATIVE}", self._answer(self._flask, "-v", f"{self._tls}:/tls:ro")
        for how, options in _HOW.items():
            yield f"{_FLASK}: {how}", self._answer(f"{self._flask}-protected", *options, *_UNCONFINED)

    def _of_nothing(self) -> str:
        context = _new(self._place.directory / "pass")
        (context / "Dockerfile").write_text(
            f'FROM {self._place.bases.python()}\nCMD ["python3", "-c", "pass"]\n', encoding="utf-8"
        )
        return self._engine.built("pass", context)

    def _run(self, image: str, *options: str) -> Measured:
        took = timed(["docker", "run", "--rm", "--network=host", *options, image], self._engine.environment)
        return Measured(seconds=took.seconds)

    def _answer(self, image: str, *options: str) -> Measured:
        name = self._engine.name("answering")
        words = ["docker", "run", "--rm", f"--name={name}", "--network=host", *options, image]
        begun = time.perf_counter()
        with subprocess.Popen(
            words, env=self._engine.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as process:
            try:
                while not _answers():
                    if process.poll() is not None or time.perf_counter() - begun > _ANSWER_SECONDS:
                        raise RuntimeError(f"{image} does not answer")
                    time.sleep(_STEP_SECONDS)
                return Measured(seconds=time.perf_counter() - begun)
            finally:
                self._engine.run("kill", name, check=False)


def _new(path: Path) -> Path:
    path.mkdir()
    return path


def _parts(script: Path) -> dict[str, str]:
    """Give the variables that a script of the example sets for sconify_image."""
    told = subprocess.check_output(["/bin/bash", "-c", '. "$0" && env -0', str(script)], text=True)
    pairs = (entry.partition("=") for entry in told.split("\0"))
    return {name: value for name, _, value in pairs if name in {"SECRETS", "INJECTED_FILES"}}


def _answers() -> bool:
    # The certificate is one of a CA of the session, which is not what is measured here.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with (
            socket.create_connection(("127.0.0.1", _PORT), timeout=1) as raw,
            context.wrap_socket(raw) as connection,
        ):
            connection.sendall(b"GET /score/nobody HTTP/1.0\r\n\r\n")
            return bool(connection.recv(16))
    except OSError:
        return False
