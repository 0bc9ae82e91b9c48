"""What sessions ask of platforms, of evidence as it comes over a real connection."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING

import pytest

from bannock.errors import BannockError, DeniedError, causes
from tests.unit.cas.documents import document

if TYPE_CHECKING:
    from bannock.cas import EmbeddedCas
    from bannock.net.client import Connection
    from tests.integration.cas.enclaves import Enclave

_OTHER = "2c45c8294d491808aa9b2a6bca01b8e185ffc69266c833546e5dca1c676a6151"


def _post(client: Connection, text: str) -> None:
    answer = client.request("POST", "/session", text.encode())
    assert answer.status == 201, answer.body


def _key(app: Enclave) -> str:
    """Give the key of the attester, as a LAS shows it: 64 hexadecimal digits."""
    evidence = app.evidence(app.nonce())
    return base64.b64decode(evidence["quote"]["key"])[-32:].hex()


def test_a_service_runs_on_its_platforms(client: Connection, app: Enclave) -> None:
    """The platform is the public key of its attester."""
    platforms = json.dumps([_OTHER, _key(app).upper()])
    _post(client, document(fspf=f"platforms: {platforms}"))
    assert app.attest().argv


def test_a_service_does_not_run_elsewhere(cas: EmbeddedCas, client: Connection, app: Enclave) -> None:
    """The enclave learns its own platform and not the others, which the audit log has."""
    _post(client, document(fspf=f"platforms: [{_OTHER}]"))
    with pytest.raises(DeniedError) as caught:
        app.attest()
    told = [
        line
        for cause in causes(caught.value)
        if isinstance(cause, BannockError)
        for line in (str(cause), *cause.reasons)
    ]
    expected = f"Unexpected platform (public key, {_key(app)}) - Expected the platform of the service"
    assert any(expected in line for line in told)
    assert not any(_OTHER in line for line in told)
    assert _OTHER in str(cas.cas.audit_log()[-1].facts["reasons"])


def test_a_simulated_enclave_counts_as_a_singleton(client: Connection, app: Enclave) -> None:
    """A session that accepts simulation accepts it with the rest of what that makes up."""
    _post(client, document().replace("security:\n", "security:\n  singleton_enclaves: true\n"))
    assert app.attest().argv
