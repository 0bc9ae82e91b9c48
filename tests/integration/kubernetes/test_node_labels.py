"""Labels of a node: what the API of a cluster is asked, over TLS, and what becomes of its refusals."""

from __future__ import annotations

import datetime as dt
import http.server
import json
import ssl
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from bannock.errors import EnvironmentFault, InputError
from bannock.kubernetes.node_labels import NodeLabels

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_HOST = "localhost"


@dataclass
class Api:
    """An API server that keeps what it is asked."""

    account: Path
    port: int = 0
    status: int = 200
    answer: str = "{}"
    asked: list[tuple[str, dict[str, str], Any]] = field(default_factory=list)

    def labels(self, node: str = "node-1") -> NodeLabels:
        """Give the labels of a node of it."""
        return NodeLabels(node=node, host=_HOST, port=self.port, account=self.account)


def _certificate(directory: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, _HOST)])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1)).not_valid_after(now + dt.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(_HOST)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    pem = made.public_bytes(serialization.Encoding.PEM)
    (directory / "ca.crt").write_bytes(pem)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (directory / "server.pem").write_bytes(private + pem)


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    """Give one that runs."""
    _certificate(tmp_path)
    (tmp_path / "token").write_text("t0ken\n")
    made = Api(tmp_path)

    class Handler(http.server.BaseHTTPRequestHandler):
        def setup(self) -> None:
            # Whoever does not believe the certificate ends the handshake, and the socket is closed.
            self.request.do_handshake()
            super().setup()

        def do_PATCH(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            made.asked.append((self.path, dict(self.headers), body))
            self.send_response(made.status)
            self.end_headers()
            self.wfile.write(made.answer.encode())

        def log_message(self, *_: object) -> None:
            pass

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "server.pem")

    class Server(http.server.HTTPServer):
        def get_request(self) -> tuple[Any, Any]:
            connection, address = super().get_request()
            return context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False), address

        def handle_error(self, *_: object) -> None:
            pass

    server = Server(("127.0.0.1", 0), Handler)
    made.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield made
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_labels_are_put_and_taken_away(api: Api) -> None:
    """What the node has is true; what it has not is taken away, as one change of that node alone."""
    api.labels("node/1").label({"sgx", "tpm"})
    ((path, headers, body),) = api.asked
    assert path == "/api/v1/nodes/node%2F1"
    assert headers["Authorization"] == "Bearer t0ken"
    assert headers["Content-Type"] == "application/merge-patch+json"
    assert body == {
        "metadata": {
            "labels": {
                "sgx.intel.com/capable": "true", "bannock.dev/sgx": "true", "bannock.dev/tpm": "true",
                "bannock.dev/tdx": None, "bannock.dev/sev-snp": None,
            }
        }
    }  # fmt: skip


def test_a_token_is_read_each_time(api: Api) -> None:
    """It is replaced while the plugin runs."""
    labels = api.labels()
    labels.label(set())
    (api.account / "token").write_text("newer")
    labels.label(set())
    assert [headers["Authorization"] for _, headers, _ in api.asked] == ["Bearer t0ken", "Bearer newer"]


def test_refusals_are_faults_that_name_the_reason(api: Api) -> None:
    """As the API tells it; and without the token in them."""
    api.status, api.answer = 403, json.dumps({"message": "nodes is forbidden"})
    with pytest.raises(EnvironmentFault, match="403 nodes is forbidden") as refused:
        api.labels().label({"sgx"})
    assert "t0ken" not in str(refused.value)
    api.answer = "<html>"
    with pytest.raises(EnvironmentFault, match="403 without a reason"):
        api.labels().label({"sgx"})


def test_an_api_that_is_another_one_gets_no_token(api: Api, tmp_path: Path) -> None:
    """Its certificate is looked at before anything is said."""
    other = tmp_path / "other"
    other.mkdir()
    _certificate(other)
    (api.account / "ca.crt").write_bytes((other / "ca.crt").read_bytes())
    with pytest.raises(EnvironmentFault, match=r"(?i)certificate verify failed"):
        api.labels().label({"sgx"})
    assert not api.asked


def test_an_account_that_is_not_there(api: Api) -> None:
    """A pod without an account, or a machine that is none, is told so."""
    (api.account / "token").unlink()
    with pytest.raises(EnvironmentFault, match="cannot give the node node-1 labels"):
        api.labels().label(set())
    with pytest.raises(InputError, match="KUBERNETES_SERVICE_HOST"):
        NodeLabels.of_pod("node", {})
    inside = {"KUBERNETES_SERVICE_HOST": "10.0.0.1", "KUBERNETES_SERVICE_PORT": "443"}
    with pytest.raises(InputError, match="which node"):
        NodeLabels.of_pod(None, inside)
    found = NodeLabels.of_pod(None, {**inside, "NODE_NAME": "n"})
    assert (found.node, found.host, found.port) == ("n", "10.0.0.1", 443)
