"""A scan for secrets over all that a CAS says to those who must not know them: logs, refusals, metrics, the audit log.

Each way by which a secret comes into a CAS carries a word of its own here, in requests that succeed and in such that
fail in every way; then nothing that the CAS wrote may have any of the words.
"""

from __future__ import annotations

import io
import json
import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import pytest

from bannock.cas import Cas, CasConfig
from bannock.cas.serving import endpoints
from bannock.cli.logs import LOG_FORMATS, formatter
from bannock.net.address import Address
from bannock.net.client import connect
from bannock.net.server import ThreadedServer
from bannock.net.tls import Identity

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from bannock.net.client import Connection

_CANARY: Final = "c4n4ry"
_SESSION: Final = """
name: {name}
version: "0.3.11"
secrets:
  - {{name: plain, kind: ascii, value: {canary}-ascii}}
  - {{name: hexed, kind: binary, value: "{hexed}"}}
services:
  - name: app
    image_name: image
    command: app --key {canary}-argument
    environment: {{KEY: {canary}-environment}}
    mrenclaves: [{measurement}]
images:
  - {{name: image, injection_files: [{{path: /etc/key, content: "{canary}-file"}}]}}
access_policy: {{read: [CREATOR], update: [CREATOR]}}
security: {{attestation: {{tolerate: [simulation]}}}}
"""
_HEX: Final = _CANARY.encode().hex()


@pytest.fixture
def said() -> Iterator[dict[str, io.StringIO]]:
    """All that is logged meanwhile, from the finest level on, in each format."""
    said = {form: io.StringIO() for form in LOG_FORMATS}
    handlers = []
    for form, stream in said.items():
        handler = logging.StreamHandler(stream)
        handler.setFormatter(formatter(form))
        handlers.append(handler)
    logger = logging.getLogger("bannock")
    before = logger.level
    logger.setLevel(logging.DEBUG)
    for handler in handlers:
        logger.addHandler(handler)
    yield said
    logger.setLevel(before)
    for handler in handlers:
        logger.removeHandler(handler)


def _session(name: str = "demo") -> str:
    return _SESSION.format(name=name, canary=_CANARY, hexed=_HEX, measurement="ab" * 32)


def _post(connection: Connection, path: str, body: object, method: str = "POST") -> bytes:
    data = body.encode() if isinstance(body, str) else json.dumps(body).encode()
    content_type = "application/toml" if method == "PUT" else "application/json"
    return connection.request(method, path, data, content_type).body


def test_no_secret_is_in_what_others_see(tmp_path: Path, said: dict[str, io.StringIO]) -> None:
    """Neither in a log nor in a refusal of somebody else's request, nor in metrics, audit log or database."""
    loopback = Address("127.0.0.1", 0)
    config = replace(CasConfig.in_directory(tmp_path / "cas"), api=loopback, enclave=loopback, metrics=loopback)
    alice, bob = Identity.generate("alice"), Identity.generate("bob")
    seen: list[bytes] = []
    with Cas(config) as cas:
        with ThreadedServer(*endpoints(cas, config)) as server:
            client, enclave, _ = server.ports
            with connect("127.0.0.1", client, alice, expected_peer=None) as mine:
                _as_owner(mine, cas)
            with (
                connect("127.0.0.1", client, bob, expected_peer=None) as others,
                connect("127.0.0.1", enclave, bob, expected_peer=None) as host,
            ):
                seen = [*_as_somebody(others), *_as_enclave(host)]
        assert cas.metrics is not None
        seen.append(cas.metrics.text())
        seen.append(cas.audit.lines(1, None))
    seen += [path.read_bytes() for path in config.database.parent.iterdir() if path.is_file()]
    seen += [stream.getvalue().encode() for stream in said.values()]
    assert all("POST /v1/sessions" in stream.getvalue() for stream in said.values())
    for text in seen:
        assert _CANARY.encode() not in text, text
        assert _HEX.encode() not in text, text


def _as_owner(mine: Connection, cas: Cas) -> None:
    """Bring secrets in, rightly and wrongly."""
    owner = f'[dcap]\nsubscription_key = "{_CANARY}-dcap"\n[audit_log]\nsink = "database"\n'
    assert mine.request("POST", "/v1/sessions", _session().encode()).status == 201
    broken = _session("broken")
    for wrong in (
        broken.replace("kind: ascii", "kind: private-key"),
        broken.replace("secrets:", "secrts:"),
        broken.replace("mrenclaves", "mrenclave"),
        broken.replace("images:", f"images: {_CANARY}"),
        broken + f"\n\t{_CANARY}: [",
        f'{{"payload": "{_CANARY}", "signatures": [{{"protected": "{_CANARY}"}}]}}',
        f'{{"protected": "{_CANARY}", "iv": "x", "ciphertext": "{_CANARY}", "tag": "x"}}',
        "\x00" + _CANARY,
    ):
        assert mine.request("POST", "/v1/sessions", wrong.encode()).status in (400, 403)
    _post(mine, "/v1/owner/provision", {"token": f"{_CANARY}-token", "config": owner})
    _post(mine, "/v1/owner/provision", {"token": _HEX * 2 + "00000000", "config": owner})
    _post(mine, "/v1/owner/provision", {"token": cas.owner.token, "config": f"{owner}[ias]\nspid='{_CANARY}'"})
    _post(mine, "/v1/owner/provision", {"token": cas.owner.token, "config": owner, "database_key": f"{_CANARY}"})
    answer = json.loads(_post(mine, "/v1/owner/provision", {"token": cas.owner.token, "config": owner}))
    assert answer["provisioned"] is True
    for wrong in (f"[dcap]\nsubscription_key = {_CANARY}", f"[{_CANARY}]", f"dcap = '{_CANARY}'"):
        assert b"400" in _post(mine, "/v1/owner/config", wrong, "PUT")
    _post(mine, "/v1/owner/backups", {"address": "127.0.0.1:1", "mrenclaves": [f"{_CANARY}"]})


def _as_somebody(others: Connection) -> list[bytes]:
    """Ask for all of it without a right to any."""
    paths = (
        "/v1/sessions/demo",
        "/v1/values/session=demo",
        "/v1/values/session=demo,secret=plain",
        "/v1/values/session=demo,secret=hexed",
        "/v1/volumes/session=demo,volume=x",
        "/v1/owner",
        "/v1/owner/config",
        "/v1/owner/audit",
        "/v1/attest",
        "/openapi.json",
        "/metrics",
    )
    update = _session().replace(f"{_CANARY}-ascii", "other").replace(_CANARY, "other").replace(_HEX, "00")
    return [
        *(others.request("GET", path).body for path in paths),
        _post(others, "/v1/sessions", update),
        _post(others, "/v1/sessions", f"predecessor: {'00' * 32}\n{update}"),
        _post(others, "/v1/owner/config", "", "PUT"),
        _post(others, "/v1/owner/upgrade", {}),
    ]


def _as_enclave(host: Connection) -> list[bytes]:
    """Say to be the service, without evidence and with such that does not hold."""
    bodies = [
        {"session": "demo", "service": "app", "evidence": {}},
        {"session": "demo", "service": "app", "evidence": {"format": "bannock-evidence-2", "report": "AA=="}},
        {"session": "demo", "service": "app", "evidence": "x"},
    ]
    seen = []
    for body in bodies:
        host.request("POST", "/v1/enclave/nonce")
        seen.append(_post(host, "/v1/enclave/attest", body))
    return [*seen, _post(host, "/v1/enclave/secrets", {"names": ["plain"]})]
