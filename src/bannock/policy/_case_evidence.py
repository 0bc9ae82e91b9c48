"""What cases say of evidence: claims as they would be, or evidence that was recorded.

Pure. The keys are documented in ``docs/session-test.md``.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from bannock.errors import InputError
from bannock.policy._case_reader import number_up_to
from bannock.policy.claims import HARDWARE, PLATFORMS, SIMULATED, Claims
from bannock.policy.machines import is_machine_claim
from bannock.policy.session import Toleration
from bannock.values import Measurement

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from bannock.policy._case_reader import Reader

__all__ = ["EVIDENCE_KEYS", "claims_of", "given_claims"]

EVIDENCE_KEYS: Final = (
    "platform",
    "rehearses",
    "mrenclave",
    "mrsigner",
    "isvprodid",
    "isvsvn",
    "debug",
    "attester",
    "vouched",
    "machine",
    "machine_id",
    "weaknesses",
    "advisories",
    "provider",
    "singleton",
)
_NOTHING: Final = Measurement(bytes(32))
_UINT16_MAX: Final = 0xFFFF
_WORD: Final = re.compile(r"[a-z][a-z0-9-]{0,63}")
#: Tolerations that are no weaknesses of a platform.
_NO_WEAKNESSES: Final = frozenset({Toleration.SIMULATION, Toleration.DEBUG_MODE, Toleration.MAA_MANAGED_TCB})
_DEFAULTS: Final[Mapping[str, Any]] = {
    "platform": "sgx",
    "measurement": _NOTHING,
    "signer": _NOTHING,
    "product_id": 0,
    "svn": 0,
    "debug": False,
}


def given_claims(evidence: Reader) -> dict[str, Any]:
    """Read the claims that are said; the others are left out."""
    names: Mapping[str, tuple[str, Callable[[str], Any]]] = {
        "platform": ("platform", lambda key: evidence.word(key, PLATFORMS)),
        "rehearses": ("rehearses", lambda key: evidence.word(key, HARDWARE)),
        "mrenclave": ("measurement", lambda key: evidence.read(key, Measurement.from_hex)),
        "mrsigner": ("signer", lambda key: evidence.read(key, Measurement.from_hex)),
        "isvprodid": ("product_id", lambda key: evidence.read(key, number_up_to(_UINT16_MAX))),
        "isvsvn": ("svn", lambda key: evidence.read(key, number_up_to(_UINT16_MAX))),
        "debug": ("debug", lambda key: _truth(evidence, key)),
        "attester": ("attester", lambda key: evidence.read(key, _digits)),
        "vouched": ("vouched", lambda key: _truth(evidence, key)),
        "machine": ("machine", lambda key: _machine(evidence, key)),
        "machine_id": ("machine_id", lambda key: evidence.read(key, _digits)),
        "weaknesses": ("weaknesses", lambda key: frozenset(evidence.each(key, _weakness))),
        "advisories": ("advisories", lambda key: frozenset(evidence.words(key, None))),
        "provider": ("provider", lambda key: evidence.word(key, {"maa"})),
        "singleton": ("singleton", lambda key: _truth(evidence, key)),
    }
    found = {claim: read(key) for key, (claim, read) in names.items() if evidence.has(key)}
    # What could not be read is an issue already.
    found = {claim: value for claim, value in found.items() if value is not None}
    if "rehearses" in found:
        found.setdefault("platform", SIMULATED)
    return found


def claims_of(evidence: Reader, given: Mapping[str, Any]) -> Claims:
    """Make claims of what is said, and of what goes without saying."""
    try:
        return Claims(**{**_DEFAULTS, **given})
    except InputError as error:
        evidence.add("", error.message)
        return Claims(**_DEFAULTS)


def _truth(evidence: Reader, key: str) -> bool | None:
    found = evidence.word(key, ("true", "false"))
    return None if found is None else found == "true"


def _digits(text: str) -> str:
    return str(Measurement.from_hex(text))


def _weakness(text: str) -> str:
    if not _WORD.fullmatch(text) or text in _NO_WEAKNESSES:
        words = ", ".join(each for each in Toleration if each not in _NO_WEAKNESSES)
        raise InputError(f"expected a weakness of a platform such as {words}, found {text[:60]!r}")
    return text


def _machine(evidence: Reader, key: str) -> dict[str, str]:
    found = evidence.texts(key)
    for name in found:
        if not is_machine_claim(name):
            evidence.add(key, f"no platform tells {name[:60]!r} of a machine")
    return {name: value.lower() for name, value in found.items()}
