"""TLS 1.3 identities and contexts: who a peer is, is decided by its key alone.

Responsible for keys, self-signed certificates and the settings of OpenSSL. Certificates are only the form in which
TLS carries keys: issuer, names and dates are not looked at, and the handshake proves possession of the private key.
Not responsible for which key is trusted. Contexts are made per listener or connection and not shared by threads.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import ipaddress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self, TypeAlias, get_args

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from OpenSSL import SSL

from bannock.errors import InputError, PeerError
from bannock.values import KeyHash, Secret

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
    "EXPORTER_BYTES",
    "EXPORTER_LABEL",
    "Identity",
    "client_context",
    "exporter_of",
    "key_hash_of",
    "peer_certificate",
    "peer_key_hash",
    "server_context",
]

#: What both sides of an attestation bind evidence to (RFC 8446, section 7.5).
EXPORTER_LABEL: Final = b"EXPORTER-bannock-attestation"
EXPORTER_BYTES: Final = 32

#: "No well-defined expiration date" (RFC 5280, section 4.1.2.5); the key is the identity, so nothing expires.
_NEVER: Final = dt.datetime(9999, 12, 31, 23, 59, 59, tzinfo=dt.UTC)
_LONG_AGO: Final = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)


#: What TLS 1.3 signs with, and users' certificates are made for.
_PrivateKey: TypeAlias = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """A private key and the certificate, mostly a self-signed one, that presents its public half.

    Attributes:
        private_key: of whoever this is.
        certificate: for its public half.
        chain: certificates of authorities, from that which signed the certificate on, which are shown with it.
    """

    private_key: _PrivateKey
    certificate: x509.Certificate
    chain: tuple[x509.Certificate, ...] = ()

    @classmethod
    def generate(
        cls, common_name: str, *, names: Sequence[str] = ("localhost",), addresses: Sequence[str] = ("127.0.0.1",)
    ) -> Self:
        """Make a fresh P-256 key and certify it by itself for DNS names and IP addresses."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, common_name)])
        alternatives: list[x509.GeneralName] = [x509.DNSName(name) for name in names]
        alternatives += [x509.IPAddress(ipaddress.ip_address(address)) for address in addresses]
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(_LONG_AGO)
            .not_valid_after(_NEVER)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        )
        if alternatives:
            builder = builder.add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        return cls(private_key=key, certificate=builder.sign(key, hashes.SHA256()))

    @classmethod
    def from_pem(cls, pem: bytes) -> Self:
        """Parse an unencrypted private key and its certificate, in any order; further certificates are the chain.

        Raises:
            InputError: it is anything else; the text is not repeated.
        """
        try:
            key = serialization.load_pem_private_key(pem, password=None)
            certificate, *chain = x509.load_pem_x509_certificates(pem)
        except (ValueError, TypeError, UnsupportedAlgorithm):
            raise InputError("an identity is a PEM private key and its PEM certificate") from None
        if not isinstance(key, get_args(_PrivateKey)):
            raise InputError(f"an identity has an elliptic curve, Ed25519 or RSA key, found {type(key).__name__}")
        if certificate.public_key() != key.public_key():
            raise InputError("the certificate of the identity is for another key")
        return cls(private_key=key, certificate=certificate, chain=tuple(chain))

    def to_pem(self) -> Secret:
        """Serialise key (PKCS #8) and certificate."""
        key = self.private_key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return Secret(key + self.certificate_pem)

    def to_pkcs12(self, passphrase: Secret) -> bytes:
        """Serialise key and certificate as browsers take them, sealed with a passphrase."""
        from cryptography.hazmat.primitives.serialization import pkcs12  # noqa: PLC0415 - for this alone

        sealed = serialization.BestAvailableEncryption(passphrase.reveal())
        name = f"bannock {self.key_hash}".encode("ascii")
        return pkcs12.serialize_key_and_certificates(name, self.private_key, self.certificate, self.chain, sealed)

    @property
    def certificate_pem(self) -> bytes:
        """The certificate alone, which is public."""
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def public_key_der(self) -> bytes:
        """The public key as DER SubjectPublicKeyInfo."""
        return self.private_key.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )

    @property
    def key_hash(self) -> KeyHash:
        """Who this is, to its peers."""
        return KeyHash(hashlib.sha256(self.public_key_der).digest())

    def __repr__(self) -> str:
        return f"Identity({self.key_hash})"


def key_hash_of(certificate: x509.Certificate) -> KeyHash:
    """Give the hash of the key in a certificate.

    Raises:
        PeerError: the key is of a kind that the library does not read.
    """
    try:
        key = certificate.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    except (ValueError, UnsupportedAlgorithm) as error:
        raise PeerError("the key in the certificate of the peer is of a kind that is not supported") from error
    return KeyHash(hashlib.sha256(key).digest())


def peer_certificate(connection: SSL.Connection) -> x509.Certificate | None:
    """Give the certificate that the other side of an established connection showed.

    Raises:
        PeerError: it is malformed.
    """
    try:
        return connection.get_peer_certificate(as_cryptography=True)
    except (ValueError, x509.InvalidVersion) as error:
        raise PeerError("the certificate of the peer is malformed") from error


def peer_key_hash(connection: SSL.Connection) -> KeyHash | None:
    """Give who the other side of an established connection is, None where it showed no certificate.

    Raises:
        PeerError: its key is of a kind that the library does not read.
    """
    certificate = peer_certificate(connection)
    return None if certificate is None else key_hash_of(certificate)


def exporter_of(connection: SSL.Connection) -> bytes:
    """Give the bytes that only the two ends of this very connection know."""
    return bytes(connection.export_keying_material(EXPORTER_LABEL, EXPORTER_BYTES))


def server_context(identity: Identity) -> SSL.Context:
    """Make the context of a listener: a client certificate is asked for, and accepted whoever signed it."""
    context = _context(identity)
    context.set_verify(SSL.VERIFY_PEER, lambda *_: True)
    # Without a cache and without self-contained tickets there is no resumption (and so no early data either):
    # each connection proves its client's key and has an exporter secret of its own.
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    context.set_session_id(b"bannock")
    return context


def client_context(identity: Identity | None) -> SSL.Context:
    """Make the context of one outgoing connection; the caller compares the key of the peer."""
    context = _context(identity)
    context.set_verify(SSL.VERIFY_NONE)
    return context


def _context(identity: Identity | None) -> SSL.Context:
    context = SSL.Context(SSL.TLS_METHOD)
    context.set_min_proto_version(SSL.TLS1_3_VERSION)
    context.set_max_proto_version(SSL.TLS1_3_VERSION)
    context.set_options(SSL.OP_NO_TICKET | SSL.OP_NO_COMPRESSION)
    if identity is not None:
        context.use_certificate(identity.certificate)
        for certificate in identity.chain:
            context.add_extra_chain_cert(certificate)
        context.use_privatekey(identity.private_key)
    return context
