"""Revocation lists as AMD's, by keys of ours: genuine ones are not at hand."""

from __future__ import annotations

import datetime as dt

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

__all__ = ["NOW", "make_list"]

NOW = dt.datetime(2025, 7, 1, tzinfo=dt.UTC)
_KEY = ec.generate_private_key(ec.SECP256R1())


def make_list(days: int, name: str = "ARK-Milan") -> bytes:
    """Make a list that was issued so many days after :data:`NOW`, for 30 days, by a key that nobody trusts."""
    issuer = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    begin = NOW + dt.timedelta(days=days)
    builder = x509.CertificateRevocationListBuilder(issuer, begin, begin + dt.timedelta(days=30))
    return builder.sign(_KEY, hashes.SHA256()).public_bytes(Encoding.DER)
