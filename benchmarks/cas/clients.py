"""What clients and enclaves ask a CAS for; each function makes the turn of one of them."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from bannock.evidence.attester import SimAttester
from bannock.evidence.report import Report, report_data
from bannock.net.tls import Identity
from bannock.values import Measurement
from benchmarks.cas.wire import Wire, client_context

if TYPE_CHECKING:
    from collections.abc import Callable

    from bannock.net.address import Address
    from bannock.values import KeyHash

__all__ = [
    "GROUP",
    "Place",
    "attesting",
    "committing",
    "create",
    "creating",
    "grouping",
    "reading",
    "session",
    "shaking_hands",
]

#: Commits in one request, each of another volume.
GROUP: Final = 100
MEASUREMENT: Final = Measurement(bytes(range(32)))
_TAG_BYTES: Final = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a CAS is and who it is; ``owner`` made the session and may read it."""

    api: Address
    enclave: Address
    key: KeyHash
    owner: Identity


def session(name: str, volumes: int = 1) -> str:
    """Give a session whose service an enclave can be, with secrets, an injected file and volumes."""
    mounts = "".join(f"\n      - {{name: volume-{number}, path: /data/{number}}}" for number in range(volumes))
    listed = "".join(f"\n  - name: volume-{number}" for number in range(volumes))
    return f"""\
name: {name}
version: "0.3"
security:
  attestation:
    tolerate: [simulation]
services:
  - name: app
    command: /bin/app --password $$SCONE::password$$
    environment:
      KEY: $$SCONE::key:hex$$
    image_name: image
    attestation:
      - mrenclave: {MEASUREMENT}
secrets:
  - name: password
    kind: ascii
  - name: key
    kind: binary
    size: 32
images:
  - name: image
    volumes:{mounts}
    injection_files:
      - path: /etc/app.conf
        content: |
          password=$$SCONE::password$$
volumes:{listed}
"""


def shaking_hands(address: Address, identity: Identity) -> Callable[[], int]:
    """Connect with a client certificate, by TLS 1.3, and leave."""
    context = client_context(identity)

    def turn() -> int:
        Wire(address, context, None).close()
        return 1

    return turn


def attesting(place: Place, name: str) -> Callable[[], int]:
    """Be a new enclave: connect, prove what it is, and get the configuration."""
    attester = SimAttester(Ed25519PrivateKey.generate())
    identity = Identity.generate("enclave", names=(), addresses=())
    context = client_context(identity)

    def turn() -> int:
        with Wire(place.enclave, context, place.key) as connection:
            _attest(connection, attester, identity, name)
        return 1

    return turn


def committing(place: Place, name: str) -> Callable[[], int]:
    """Be an attested enclave that moves its volume from state to state, each durable before the next."""
    connection = _attested(place, name)
    state: list[str | None] = [None]

    def turn() -> int:
        tag = os.urandom(_TAG_BYTES).hex()
        connection.request_json("POST", "/v1/enclave/volumes/volume-0/commit", {"expected": state[0], "tag": tag})
        state[0] = tag
        return 1

    return turn


def grouping(place: Place, name: str) -> Callable[[], int]:
    """Be an attested enclave that moves many volumes in one request."""
    connection = _attested(place, name)
    states: list[str | None] = [None] * GROUP

    def turn() -> int:
        tags = [os.urandom(_TAG_BYTES).hex() for _ in range(GROUP)]
        commits = [
            {"volume": f"volume-{number}", "expected": states[number], "tag": tags[number]} for number in range(GROUP)
        ]
        connection.request_json("POST", "/v1/enclave/commits", {"commits": commits})
        states[:] = tags
        return GROUP

    return turn


def creating(place: Place, number: int) -> Callable[[], int]:
    """Make session after session over one connection."""
    connection = Wire.as_client(place.api, place.owner, place.key)
    made = 0

    def turn() -> int:
        nonlocal made
        made += 1
        create(connection, f"made-{os.getpid()}-{number}-{made}", volumes=1)
        return 1

    return turn


def reading(place: Place, name: str) -> Callable[[], int]:
    """Read a session again and again over one connection."""
    connection = Wire.as_client(place.api, place.owner, place.key)

    def turn() -> int:
        connection.request("GET", f"/v1/sessions/{name}")
        return 1

    return turn


def create(connection: Wire, name: str, volumes: int) -> None:
    """Make a session.

    Raises:
        BannockError: the CAS refuses it.
    """
    connection.request("POST", "/v1/sessions", session(name, volumes).encode())


def _attested(place: Place, name: str) -> Wire:
    identity = Identity.generate("enclave", names=(), addresses=())
    connection = Wire.as_client(place.enclave, identity, place.key)
    _attest(connection, SimAttester(Ed25519PrivateKey.generate()), identity, name)
    return connection


def _attest(connection: Wire, attester: SimAttester, identity: Identity, name: str) -> None:
    nonce = bytes.fromhex(connection.request_json("POST", "/v1/enclave/nonce", {})["nonce"])
    data = report_data(nonce, connection.exporter(), identity.key_hash)
    report = Report(
        measurement=MEASUREMENT, signer=Measurement(bytes(32)), product_id=0, svn=0, debug=False, data=data
    )
    evidence = json.loads(attester.attest(report).to_json())
    wish = {"session": name, "service": "app", "evidence": evidence}
    connection.request("POST", "/v1/enclave/attest", json.dumps(wish).encode())
