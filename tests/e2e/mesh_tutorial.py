"""The tutorial on meshes, as its readers go through it: their files, their shell, and what stands for a cluster here.

The service greets; it is told by the CAS with which password, and tells nothing of it but a hash.
"""

from __future__ import annotations

import ensurepip
import hashlib
import re
import shlex
import subprocess
import time
import zipfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.containers import BaseImages, Engine

__all__ = ["CANARY", "GREETING", "PASSWORD_BYTES", "VERSION", "Hello", "Log", "base_with_pip"]

VERSION: Final = "5.8.0"
#: A secret that the owner of the mesh writes down; it goes the same ways as those that nobody knows.
CANARY: Final = "#canary-7731!"
#: What the program prints, and nobody else.
GREETING: Final = "is what everybody gets"
#: How long the password is that the CAS makes.
PASSWORD_BYTES: Final = 10
_SECONDS: Final = 120.0
_POLL_SECONDS: Final = 0.5

_PROGRAM: Final = """\
import hashlib
import os
import time

import flask  # what requirements.txt asks for


def mark(name):
    return hashlib.sha256(os.environ.get(name, "").encode()).hexdigest()


print("signs", os.environ["SIGNS"], os.environ["NOTE"].encode(), flush=True)
while True:
    print("hello", os.environ["API_USER"], mark("API_PASSWORD"), mark("OTHER_PASSWORD"), "{greeting}", flush=True)
    time.sleep(0.2)
"""
_SERVICE: Final = """\
apiVersion: scone/5.8
kind: genservice
environment:
  local:
    - name: SCONE_HEAP
      value: 512M
    - name: SCONE_ALLOW_DLOPEN
      value: 1
    - name: API_PASSWORD
      value: "$$SCONE::password$$"
    - name: OTHER_PASSWORD
      value: "$$SCONE::other$$"
    - name: SIGNS
      value: "!#what!$#"
    - name: NOTE
      value: "$$SCONE::note$$"
    - name: RELEASE
      value: $RELEASE
  global:
    - name: API_USER
secrets:
  global:
    - name: password
      kind: ascii
      size: 10
    - name: other
      kind: ascii
      value: "#of-the-service"
    - name: note
      kind: ascii
      value: |+2
          of two lines, with spaces
          and # and $

build:
  name: greeter
  kind: python
  to: $APP_IMAGE_REPO/greeter:$TAG
  pwd: /python
  command: python3 greet.py
  requirements: requirements.txt
  copy: [greet.py]
  signature:
    sign: true
  run:
    - >
      echo "one command"
      && echo "of two lines"
    - echo "another one"
"""
_SECRETS: Final = """\
- name: password
  kind: ascii
  size: {size}
  export:
    - namespace: {{{{namespace}}}}
- name: other
  kind: ascii
  value: "{canary}"
- name: note
  kind: ascii
  value: |-2
      of the mesh
"""
_MESH: Final = """\
apiVersion: scone/5.8
kind: mesh
cas:
  - name: cas
    alias: [image, security, access, attestation]
    cas_url: $CAS_URL
    cas_key: $CAS_KEY
    tolerance: "--software-hardening-needed --insecure-configuration"
    mode: $UPLOAD_MODE
    cas_encryption_key: $CAS_SESSION_ENCRYPTION_KEY
policy:
  namespace: $APP_NAMESPACE
  tolerate: "simulation, outdated-tcb, hyperthreading"
  ignore_advisories: "*"
env:
  - service: global
    env:
      - name: API_USER
        value: $USER_NAME
      - name: imagePullSecrets
        value: sconeapps
      - name: APP_SERVICE_PORT
        value: 443
      - name: RELEASE
        value: $RELEASE
services:
  - name: greeter
    image: $APP_IMAGE_REPO/greeter:$TAG
    image_secrets: secrets.yaml
helm_extra_values: |
  las:
    address: $LAS
"""
#: As users put it together from the steps of the tutorial.
_RUN: Final = """\
set -euo pipefail
SCONE='$SCONE' envsubst <service.yaml.template >service.yaml
sconectl apply -f service.yaml -v --set-version "$VERSION"
source run-mesh.sh
"""
_RUN_MESH: Final = """\
set -euo pipefail
source <(kubectl provision cas cas -n "$CAS_NAMESPACE" --print-public-keys)
SCONE='$SCONE' envsubst <mesh.yaml.template >mesh.yaml
sconectl apply -f mesh.yaml --release "$RELEASE" -v --set-version "$VERSION"
helm upgrade --install "$RELEASE" target/helm/
"""
_HELLO: Final = re.compile(
    r"^hello (?P<user>\S+) (?P<password>[0-9a-f]{64}) (?P<other>[0-9a-f]{64}) (?P<rest>.*)$", re.MULTILINE
)


@dataclass(frozen=True)
class Log:
    """What a pod printed.

    Attributes:
        text: all of it.
    """

    text: str

    @property
    def users(self) -> set[str]:
        """Those it greeted."""
        return {found["user"] for found in _HELLO.finditer(self.text)}

    @property
    def passwords(self) -> set[str]:
        """Hashes of the password that it has."""
        return {found["password"] for found in _HELLO.finditer(self.text)}

    @property
    def others(self) -> set[str]:
        """Hashes of the other one."""
        return {found["other"] for found in _HELLO.finditer(self.text)}

    @property
    def greetings(self) -> set[str]:
        """What it said to everybody."""
        return {found["rest"] for found in _HELLO.finditer(self.text)}

    def is_told(self, secret: str) -> bool:
        """Whether a secret is the other password that it has."""
        return {hashlib.sha256(secret.encode()).hexdigest()} == self.others

    def gives_away(self, data: bytes) -> bool:
        """Whether a password is in something; of that of the CAS, hash and length is all that anybody knows."""
        (wanted,) = self.passwords
        pieces = (data[start : start + PASSWORD_BYTES] for start in range(max(0, len(data) - PASSWORD_BYTES + 1)))
        return CANARY.encode() in data or any(hashlib.sha256(piece).hexdigest() == wanted for piece in pieces)


def base_with_pip(engine: Engine, bases: BaseImages, directory: Path) -> str:
    """Make an image with Python, Flask and pip, of which nothing is fetched from anywhere."""
    context = directory / "base-with-pip"
    context.mkdir()
    (wheel,) = Path(ensurepip.__file__).parent.glob("_bundled/pip-*.whl")
    with zipfile.ZipFile(wheel) as packed:
        packed.extractall(context / "pip")
    (context / "Dockerfile").write_text(f"FROM {bases.python()}\nCOPY pip /usr/lib/python3/dist-packages/\n")
    return engine.built("base-with-pip", context)


@dataclass(frozen=True)
class Hello:
    """A reader: a directory with the files of the tutorial, and a shell.

    Attributes:
        engine: of containers.
        directory: with the files.
        variables: of the shell.
    """

    engine: Engine
    directory: Path
    variables: Mapping[str, str]

    def write(self, *, size: int = 10, greeting: str = GREETING) -> None:
        """Write the files, as the tutorial has them or as they are changed in it."""
        self.directory.mkdir(exist_ok=True)
        for name, text in (
            ("greet.py", _PROGRAM.replace("{greeting}", greeting)),
            ("requirements.txt", "flask\n"),
            ("service.yaml.template", _SERVICE),
            ("mesh.yaml.template", _MESH),
            ("secrets.yaml", _SECRETS.format(size=size, canary=CANARY)),
            ("run.sh", _RUN),
            ("run-mesh.sh", _RUN_MESH),
        ):
            (self.directory / name).write_text(text)

    def shell(
        self, script: str, *, code: int | None = 0, seconds: float = 300, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        """Have the shell do something in the directory, on what stands for a cluster."""
        done = subprocess.run(
            ["/bin/bash", "-c", script],
            cwd=self.directory,
            env={**self.variables, **variables},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=seconds,
        )
        assert code is None or done.returncode == code, f"{script}\n{done.stdout}{done.stderr}"
        return done

    def without_cluster(self) -> Self:
        """Give the reader whose shell has what stands for a cluster."""
        told = self.shell('eval "$(bannock k8s env)"; env -0').stdout
        return replace(self, variables=dict(line.split("=", 1) for line in told.split("\0") if line))

    def pods(self) -> list[str]:
        """Give the names of the pods of the service."""
        selector = f"app.kubernetes.io/name=greeter,app.kubernetes.io/instance={self.variables['RELEASE']}"
        return self.shell(f"kubectl get pods -l {selector} -o name").stdout.split()

    def log(self, *, after: str = "") -> Log:
        """Wait until the pod has greeted, and give its log; with ``after``, that of another pod than that one."""
        return Log(self.printed("hello ", after=after))

    def printed(self, text: str, *, after: str = "") -> str:
        """Wait until the pod has printed something, and give all that it printed."""
        end = time.monotonic() + _SECONDS
        found = "no pod"
        while time.monotonic() < end:
            for pod in self.pods():
                if pod == after:
                    continue
                done = self.shell(f"kubectl logs {pod}", code=None)
                found = done.stdout + done.stderr
                # A line that is being printed is not one yet.
                if text in found.rpartition("\n")[0]:
                    return found
            time.sleep(_POLL_SECONDS)
        raise AssertionError(f"{text!r} is not printed: {found}")

    def execute(self, script: str) -> subprocess.CompletedProcess[str]:
        """Log into the container, and do something there."""
        (pod,) = self.pods()
        words = shlex.join(["kubectl", "exec", pod, "--", "sh", "-c", script])
        return self.shell(words, code=None)
