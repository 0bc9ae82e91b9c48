"""One-time passwords that authenticate single starts of a service: TOTP (RFC 6238).

Pure; time is an argument, and what was used is the caller's to keep. Six digits, HMAC-SHA-1, steps of 30 seconds, and
one step of difference between the two clocks. Each password is good once. Six digits are few, so there is a bound on
wrong ones, too: RFC 4226 section 7.3 asks for it.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from bannock.errors import DeniedError, InputError

if TYPE_CHECKING:
    import datetime as dt

    from bannock.values import Secret

__all__ = [
    "STEP_SECONDS",
    "OneTimePasswords",
    "one_time_password",
    "shared_secret",
    "verify_one_time_password",
]

STEP_SECONDS: Final = 30
DIGITS: Final = 6
#: Steps that the clocks may differ by (RFC 6238 section 5.2 recommends one).
SKEW_STEPS: Final = 1
#: The reference asks for 128 bits at least, as RFC 4226 does.
SECRET_BYTES_MIN: Final = 16
#: Wrong passwords within a step, over all starts. An even chance to guess one is a month of constant trying away then,
#: for somebody whose enclave is the one that the session trusts; and each try is in the audit log.
FAILURES_MAX: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class OneTimePasswords:
    """What was used of one shared secret.

    Attributes:
        last: the step of the newest password that was accepted; it and all older ones are used up.
        failed: the step in which a wrong one came last.
        failures: how many came in that step.
    """

    last: int = -1
    failed: int = -1
    failures: int = 0

    def after_failure(self, at: dt.datetime) -> OneTimePasswords:
        """Count a wrong password."""
        now = _step(at)
        failures = self.failures + 1 if now == self.failed else 1
        return OneTimePasswords(last=self.last, failed=now, failures=failures)


def shared_secret(text: Secret) -> Secret:
    """Decode a shared secret from base32, with padding or without.

    Raises:
        InputError: it is anything else, or too short; the text is not repeated.
    """
    digits = text.reveal().upper().rstrip(b"=")
    try:
        value = base64.b32decode(digits + b"=" * (-len(digits) % 8))
    except (ValueError, binascii.Error):
        raise InputError("the shared secret of one-time passwords is base32 (RFC 4648)") from None
    if len(value) < SECRET_BYTES_MIN:
        raise InputError(
            f"the shared secret of one-time passwords has {8 * SECRET_BYTES_MIN} bits at least, "
            f"this one has {8 * len(value)}"
        )
    return type(text)(value)


def one_time_password(secret: Secret, at: dt.datetime) -> str:
    """Give the password of a moment."""
    return _password(secret, _step(at))


def verify_one_time_password(
    secret: Secret, password: str | None, *, at: dt.datetime, used: OneTimePasswords
) -> OneTimePasswords:
    """Accept a password, and give what is used from now on.

    Who gets an error counts it with :meth:`OneTimePasswords.after_failure`.

    Raises:
        DeniedError: there is none, it is wrong or used up, or too many wrong ones came.
    """
    if password is None:
        raise DeniedError(
            "the session asks for a one-time password, and none came",
            hint="start the service with SCONE_CONFIG_ID=SESSION/SERVICE@PASSWORD",
        )
    now = _step(at)
    if used.failed == now and used.failures >= FAILURES_MAX:
        raise DeniedError(f"too many wrong one-time passwords came; the next is looked at in {STEP_SECONDS} seconds")
    steps = range(now - SKEW_STEPS, now + SKEW_STEPS + 1)
    # Every candidate is compared, so that the time tells nothing.
    matching = [step for step in steps if hmac.compare_digest(_password(secret, step).encode(), password.encode())]
    if not matching:
        raise DeniedError("the one-time password is wrong", hint="is the clock of whoever made it right?")
    fresh = [step for step in matching if step > used.last]
    if not fresh:
        raise DeniedError("the one-time password was used already, or a newer one was", hint="wait for the next one")
    return OneTimePasswords(last=min(fresh), failed=used.failed, failures=used.failures)


def _step(at: dt.datetime) -> int:
    return int(at.timestamp()) // STEP_SECONDS


def _password(secret: Secret, step: int) -> str:
    if step < 0:
        return ""
    digest = hmac.digest(secret.reveal(), step.to_bytes(8, "big"), hashlib.sha1)
    offset = digest[-1] & 0x0F
    number = int.from_bytes(digest[offset : offset + 4], "big") & 0x7FFF_FFFF
    return f"{number % 10**DIGITS:0{DIGITS}}"
