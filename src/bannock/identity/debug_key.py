"""The built-in debug key: enclaves are signed with it where no key is given. Everybody has it, and that is its point.

So what it signs is vouched for by nobody, and is a debug enclave whatever the signature says.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Final

from cryptography.hazmat.primitives.asymmetric import rsa

from bannock.values import Measurement

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

__all__ = ["DEBUG_SIGNER", "debug_signing_key"]

#: MRSIGNER of what is signed with this key.
DEBUG_SIGNER: Final = Measurement.from_hex("5d767cdc8837ae248775b73636fb0a6d6bd262e1902e36e8c11e477f9f5217ea")

_EXPONENT: Final = 3
#: The two primes; made once with `openssl genrsa -3 3072`.
_P: Final = (
    "e038441e039dbdc54c93b612d4a82897a5bc27e97d21dbb44c0d978ca85aac147318ef6d761aa99c68da11699c49f2e1"
    "dbca9e5ac221f47046eea931d64ea35af5818e1c0ff013187330fc98d614b8d6b54e097d3497e0252d8ead0ca71f062a"
    "b8270def3b7d67c5be1a36bd031fa5f05dbaa1a4c02d93d891cc96c938249e452f3c085b51480d52f561860f2df50652"
    "4548cafcb2c016090fe792a56a4454f9ed5bc04cc3a837f0df889c3cd893bf624163ea253d7664ed7846bda957f0a8df"
)
_Q: Final = (
    "c0ad59b236e818d1b32105e23a3ef14e07706fd0fbd62efd75c4eb9b6f481ce8454bd459fbaac7aa8eac2db66cf0cbbe"
    "17875704108bf9778a5f6d46a076e35bcf1d909a7d6b8df81ffac801e70660921d77dd69c781465265b35f9296c1e532"
    "de2e712fcfcac954c2be70ac23fa15e411ca5ba5723c04bbea91382543bc3b7037b64293683cd739cbf09c1596ed6185"
    "d0bf7517d545fdcd3f2460c75e56331c86ce416df2dd3e90a80b69f08a2a57e4decf2714b7e4c4b065ab56d62b8479c3"
)


@functools.cache
def debug_signing_key() -> RSAPrivateKey:
    """Return the key."""
    p, q = int(_P, 16), int(_Q, 16)
    d = rsa.rsa_recover_private_exponent(_EXPONENT, p, q)
    numbers = rsa.RSAPrivateNumbers(
        p=p,
        q=q,
        d=d,
        dmp1=rsa.rsa_crt_dmp1(d, p),
        dmq1=rsa.rsa_crt_dmq1(d, q),
        iqmp=rsa.rsa_crt_iqmp(p, q),
        public_numbers=rsa.RSAPublicNumbers(_EXPONENT, p * q),
    )
    return numbers.private_key()
