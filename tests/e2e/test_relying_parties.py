"""Services that show what they are to processes that rely on it, by the examples of the documentation."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import jwt
import pytest

from bannock.net.tls import Identity
from tests.e2e import machine

if TYPE_CHECKING:
    from tests.e2e.site import Site

pytestmark = pytest.mark.root

_OWNER: Final = Identity.generate("owner")
_PYTHON: Final = os.path.realpath(sys.executable)
_EXAMPLES: Final = re.findall(
    r"```python\n(.*?)```", (Path(__file__).parents[2] / "docs" / "relying-parties.md").read_text(), re.DOTALL
)
_PARTY: Final = Path(__file__).with_name("relying_party.py")

#: An unmodified server: it knows nothing but the paths of a certificate and a key.
_SERVER: Final = """
import socket, ssl, sys
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain("/tls/server.pem", "/tls/server.key")
listening = socket.create_server(("127.0.0.1", 0))
print(listening.getsockname()[1], flush=True)
while True:
    raw, _ = listening.accept()
    try:
        with context.wrap_socket(raw, server_side=True) as tls:
            if tls.recv(100) == b"end":
                sys.exit()
            tls.sendall(b"from the enclave")
    except OSError:
        pass
"""
_SESSION: Final = """
name: demo
version: "0.3.11"
services:
  - name: server
    command: [{program}, -c, {code}]
    attestation: [{{mrenclave: [{mrenclave}]}}]
    ra_tls: {{certificate: /tls/server.pem, private_key: /tls/server.key}}
    attestation_token: {{path: /run/attestation/token, audience: "https://rp.example", lifetime: 1 minute}}
security: {{attestation: {{tolerate: [simulation]}}}}
"""


def _session(site: Site, code: str) -> str:
    """Make the session of a program; return its measurement."""
    mrenclave = site.output("none", program=_PYTHON, SCONE_HASH="1").strip()
    site.post(_OWNER, _SESSION.format(program=_PYTHON, code=json.dumps(code), mrenclave=mrenclave))
    return mrenclave


def test_an_unmodified_application_finds_its_token(site: Site) -> None:
    """In a file, in a directory that is not on the host; it is for its audience and tells what nothing protects."""
    mrenclave = _session(site, "print(open('/run/attestation/token').read(), end='')")
    token = site.output("demo/server", program=_PYTHON)
    assert not Path("/run/attestation").exists()
    keys = jwt.PyJWKSet.from_dict(site.cas.tokens.key_set.to_document())
    key = keys[jwt.get_unverified_header(token)["kid"]]
    claims: dict[str, Any] = jwt.decode(token, key, algorithms=["ES256"], audience="https://rp.example")
    assert claims["sub"] == "demo/server"
    assert claims["exp"] - claims["iat"] == 60
    assert claims["ear_status"] == "contraindicated"
    assert claims["submods"]["enclave"]["ear_attester_claims"]["mrenclave"] == mrenclave


def test_examples_of_the_documentation_verify_a_service(site: Site, tmp_path: Path) -> None:
    """As they stand they refuse what nothing protects, before anything is sent; accepting that, they verify it."""
    mrenclave = _session(site, _SERVER)
    (tmp_path / "jwks.json").write_text(json.dumps(site.cas.tokens.key_set.to_document()))
    by_token, by_evidence = (
        example.replace("my-company/app", "demo")
        .replace("$MRENCLAVE", mrenclave)
        .replace("$CAS_KEY_HASH", str(site.cas.key_hash))
        for example in _EXAMPLES
        if "PeerVerifier" in example
    )
    tests = {
        by_token: by_token.replace('"server"', '"server", statuses=frozenset({"contraindicated"})'),
        by_evidence: by_evidence.replace("EnclaveExpectations(", "EnclaveExpectations(allow_simulation=True, "),
    }
    with site.started("demo/server", program=_PYTHON) as server:
        assert server.stdout is not None
        port = server.stdout.readline().strip()
        refused = {by_token: "the CAS finds the peer contraindicated", by_evidence: "The peer runs in simulation"}
        refused[tests[by_token].replace('"server"', '"other"')] = "service of the peer is 'server', expected 'other'"
        refused[tests[by_evidence].replace(mrenclave, "00" * 32)] = "Enclave hash does not match expectation"
        for example, told in refused.items():
            code, out, err = _rely(example, port, tmp_path)
            assert (code, out) == (1, "")
            assert told in err
        for example in tests.values():
            assert _rely(example, port, tmp_path) == (0, "from the enclave", "")


def _rely(example: str, port: str, directory: Path) -> tuple[int, str, str]:
    """Run an example in a process of its own."""
    (directory / "example.py").write_text(example)
    done = subprocess.run(
        [sys.executable, str(_PARTY), str(directory / "example.py"), "127.0.0.1", port],
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def test_a_service_without_root_shows_what_it_is(site: Site, nobody: machine.User, home_of_nobody: Path) -> None:
    """Its memory is hidden when evidence for the certificate is asked for; its LAS knows it by its connection."""
    program, socket = "/usr/bin/python3", home_of_nobody / "las.sock"
    if not Path(program).exists():
        pytest.skip("needs a Python that everybody may run")
    code = "print(open('/run/attestation/token').read(2), open('/tls/server.pem').read(10))"
    hashed = machine.run(nobody, ["run", "--", program], home=home_of_nobody, SCONE_HASH="1")
    mrenclave = hashed.stdout.strip()
    site.post(_OWNER, _SESSION.format(program=program, code=json.dumps(code), mrenclave=mrenclave))
    serving = nobody.command("las", "serve", "--no-tcp", "--unix", str(socket), "--conf", str(home_of_nobody / "las"))
    with subprocess.Popen(serving, env={"HOME": str(home_of_nobody), "PATH": os.defpath}, cwd=home_of_nobody) as las:
        try:
            deadline = time.monotonic() + 30
            while not socket.exists() and time.monotonic() < deadline:
                time.sleep(0.05)
            done = machine.run(
                nobody,
                ["run", "--mount", "memory", "--", program],
                home=home_of_nobody,
                SCONE_CAS_ADDR=str(site.enclave_address),
                BANNOCK_CAS_KEY=str(site.cas.key_hash),
                SCONE_LAS_ADDR=f"unix:{socket}",
                SCONE_CONFIG_ID="demo/server",
            )
        finally:
            las.terminate()
    assert (done.returncode, done.stdout) == (0, "ey -----BEGIN\n"), done.stderr
