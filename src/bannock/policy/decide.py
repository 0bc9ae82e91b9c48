"""The decision on an enclave: whether it is the service that it wants to be, on a platform that is good enough.

Pure, and light to import. A decision returns nothing and raises; every reason is collected before it does.

What a reason may tell: the host that starts an enclave knows its program, its signer and its platform, and has to find
out what to change. So reasons name what was expected of those, as SCONE's do. They do not name the attesters that a
session accepts: that is a list of somebody's machines.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from bannock.errors import DeniedError
from bannock.policy.claims import SIMULATED
from bannock.policy.machines import machine_mismatches, machine_platform, rule_for
from bannock.policy.session import AttestationMode, Section, Toleration

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bannock.policy.claims import Claims
    from bannock.policy.session import AttestationVariant, Security, Service, Session, SignerRule

__all__ = ["decide_enclave"]

_ANY_FAILED: Final = "Caused by: None of the required enclave properties are met by the enclave"
_ALL_FAILED: Final = "Caused by: Not all of the required enclave properties are met by the enclave"

#: The sections that this decision is made by.
_DECIDING: Final = frozenset({Section.ATTESTATION, Section.PLATFORMS, Section.SECURITY})

#: Advisories that are so frequent that the language has a word for tolerating each of them.
_SHORTCUTS: Final[Mapping[str, Toleration]] = {
    "INTEL-SA-00219": Toleration.INSECURE_IGPU,
    "INTEL-SA-00233": Toleration.HYPERTHREADING,
    "INTEL-SA-00657": Toleration.AEPIC_LEAK,
}
#: What stands for a collection of advisories: tolerated with each of them alone.
_CATEGORIES: Final = frozenset(
    {Toleration.SOFTWARE_HARDENING_NEEDED, Toleration.INSECURE_CONFIGURATION, Toleration.OUTDATED_TCB}
)
_MAA: Final = "maa"
_WORDS: Final = frozenset(Toleration)


def decide_enclave(session: Session, service_name: str, claims: Claims) -> None:
    """Accept an enclave as a service of the session.

    Where the session disables attestation (``mode: none``), every enclave is accepted: the session language says that
    the attestation of its services has no effect then. Second factors are not decided here.

    Raises:
        NotFoundError: the session has no such service.
        DeniedError: the enclave is not trustworthy; its reasons name every property that was expected and found.
    """
    service = session.service(service_name)
    if session.unbound & _DECIDING:
        raise DeniedError(f"sections of session {session.name} by which enclaves are trusted lack their secrets")
    if session.security.mode is AttestationMode.NONE:
        return
    weaknesses = _Weaknesses(session.security, claims)
    machine = _machine_mismatches(session.security, claims)
    platform = [*weaknesses.found, *machine, *_platform_mismatches(session.security, service, claims)]
    mismatches = [_mismatches(variant, claims) for variant in service.attestation]
    # No variant at all means that nobody is trusted; the parser refuses such a session already.
    if not platform and any(not reasons for reasons in mismatches):
        return
    raise DeniedError(
        "The program enclave is not trustworthy",
        reasons=_reasons(platform, mismatches),
        hint="; ".join(filter(None, [weaknesses.hint, _machine_hint(session.security, claims) if machine else None]))
        or None,
        withheld=[f"A platform of the service: {key}" for key in service.platforms] if platform else (),
    )


class _Weaknesses:
    """What makes the platform or its mode unfit, whichever program runs on it, and what would tolerate it."""

    def __init__(self, security: Security, claims: Claims) -> None:
        self.found: list[str] = []
        self._tolerate: list[str] = []
        self._ignore: list[str] = []
        self._beyond: list[str] = []
        tolerated = security.tolerated
        if claims.platform == SIMULATED and Toleration.SIMULATION not in tolerated:
            self._add(
                "Unexpected platform (platform, sim) - Expected hardware that protects the enclave",
                Toleration.SIMULATION,
            )
        if claims.debug and Toleration.DEBUG_MODE not in tolerated:
            self._add("Unexpected enclave mode (DEBUG, true) - Expected false", Toleration.DEBUG_MODE)
        if security.mode is AttestationMode.MAA and Toleration.MAA_MANAGED_TCB not in tolerated:
            self._add(
                "Unexpected state of the platform (TCB, known to the attestation provider alone) - Expected none",
                Toleration.MAA_MANAGED_TCB,
            )
        self._add_advisories(security, claims)

    @property
    def hint(self) -> str | None:
        """What to change in the session where the weaknesses are to be accepted."""
        named = {"tolerate": self._tolerate, "ignore_advisories": self._ignore}
        changes = [f"{key}: [{', '.join(names)}]" for key, names in named.items() if names]
        if self._beyond:
            return f"no session can accept {', '.join(self._beyond)}: mend the platform, or the collateral of the CAS"
        if not changes:
            return None
        risky = {Toleration.SIMULATION, Toleration.DEBUG_MODE} & {*self._tolerate}
        who = "a session for tests, and no other, may say" if risky else "mend the platform, or accept the risk by"
        return f"{who} security.attestation: {{{', '.join(changes)}}}"

    def _add(self, reason: str, *tolerations: str) -> None:
        self.found.append(reason)
        self._tolerate += [each for each in tolerations if each in _WORDS and each not in self._tolerate]
        # What the language has no word for.
        self._beyond += [each for each in tolerations if each not in _WORDS]

    def _add_advisories(self, security: Security, claims: Claims) -> None:
        tolerated = security.tolerated
        advisories = sorted(claims.advisories)
        covered = {each for each in advisories if _SHORTCUTS.get(each) in tolerated}
        categories = sorted(claims.weaknesses & _CATEGORIES)
        for weakness in sorted(claims.weaknesses - _CATEGORIES - tolerated):
            self._add(f"Unexpected state of the platform ({weakness}, true) - Expected false", weakness)
        # Where all that makes up a category is tolerated by name, the category says nothing more.
        for category in categories if not advisories or set(advisories) - covered else ():
            if category not in tolerated:
                self._add(f"Unexpected state of the platform ({category}, true) - Expected false", category)
        # The wildcard takes in advisories that nobody has read, so it counts where nothing is protected anyway.
        anything = security.ignored_advisories is None
        if anything and (claims.debug or claims.platform == SIMULATED):
            return
        ignored = security.ignored_advisories or frozenset()
        tail = " (the wildcard does not count for production enclaves)" if anything else ""
        for advisory in advisories:
            if advisory in covered or advisory in ignored:
                continue
            reason = f"Unexpected advisory ({advisory}, applies) - Expected none{tail}"
            shortcut = _SHORTCUTS.get(advisory)
            if shortcut is not None:
                self._add(reason, shortcut)
            else:
                self._add(reason)
                self._ignore.append(advisory)


def _machine_mismatches(security: Security, claims: Claims) -> list[str]:
    """Name what keeps the machine that an enclave is in from being one that the session trusts."""
    if _is_trusted(security, claims):
        return []
    return machine_mismatches(security.machines, claims)


def _machine_hint(security: Security, claims: Claims) -> str | None:
    """Write the rule that accepts the machine, where the session has none for its platform."""
    platform = machine_platform(claims)
    rule = rule_for(claims)
    if rule is None or any(each.platform == platform for each in security.machines):
        return None
    return (
        "if these are the values of the image that you had built or measured yourself, the session may say "
        f"security.attestation: {{machines: [{rule}]}}"
    )


def _is_trusted(security: Security, claims: Claims) -> bool:
    """Whether the session names the attester itself."""
    trusted = {key.lower() for key in security.trusted_attesters}
    return claims.attester is not None and claims.attester.lower() in trusted


def _platform_mismatches(security: Security, service: Service, claims: Claims) -> list[str]:
    """Name what keeps a platform from being one that the session wants, weaknesses apart."""
    found: list[str] = []
    wanted = _MAA if security.mode is AttestationMode.MAA else None
    if claims.provider != wanted:
        names = claims.provider or "hardware", wanted or "hardware"
        found.append("Unexpected attestation (mode, {}) - Expected {}".format(*names))
    attester = (claims.attester or "none").lower()
    if not claims.vouched and not _is_trusted(security, claims):
        found.append(
            f"Unexpected quoting enclave (public key, {attester}) - Expected one that the vendor vouches for, "
            "or that is listed in trusted_scone_qe_pubkeys"
        )
    identities = {"public key": attester} if claims.attester or not claims.machine_id else {}
    if claims.machine_id is not None:
        identities["machine"] = claims.machine_id.lower()
    if service.platforms and {key.lower() for key in service.platforms}.isdisjoint(identities.values()):
        count = len(service.platforms)
        what = "the platform" if count == 1 else f"one of the {count} platforms"
        told = ", ".join(f"{kind}, {value}" for kind, value in identities.items())
        found.append(f"Unexpected platform ({told}) - Expected {what} of the service")
    if security.singleton_enclaves and not claims.singleton:
        why = "its platform does not name starts of enclaves"
        if claims.instance is not None:
            why = "this start of it had a configuration before"
        found.append(f"Unexpected enclave (singleton, false: {why}) - Expected true")
    return found


def _mismatches(variant: AttestationVariant, claims: Claims) -> list[str]:
    """Name what keeps an enclave from fulfilling a variant; nothing where it does."""
    found: list[str] = []
    if variant.measurements and claims.measurement not in variant.measurements:
        found += [
            f"Unexpected enclave measurement (MRENCLAVE, {claims.measurement}) - Expected {expected}"
            for expected in variant.measurements
        ]
    if variant.signer is not None:
        found += _signer_mismatches(variant.signer, claims)
    if not variant.measurements and variant.signer is None:
        found.append("Unexpected enclave - Expected none, the variant asks for nothing")
    return found


def _signer_mismatches(rule: SignerRule, claims: Claims) -> list[str]:
    found: list[str] = []
    if claims.signer != rule.signer:
        found.append(f"Unexpected enclave signer (MRSIGNER, {claims.signer}) - Expected {rule.signer}")
    if claims.product_id != rule.product_id:
        found.append(f"Unexpected product ID (ISVPRODID, {claims.product_id}) - Expected {rule.product_id}")
    low, high = rule.svn_min, rule.svn_max
    if (low is not None and claims.svn < low) or (high is not None and claims.svn > high):
        bounds = [f"at least {low}"] * (low is not None) + [f"at most {high}"] * (high is not None)
        expected = str(low) if low == high else " and ".join(bounds)
        found.append(f"Unexpected security version (ISVSVN, {claims.svn}) - Expected {expected}")
    return found


def _reasons(platform: Sequence[str], variants: Sequence[Sequence[str]]) -> list[str]:
    """Lay the tree of properties out as SCONE's runtime does: any variant, all of its factors, any of the values."""
    leaves = list(platform)
    # A variant that is fulfilled has no reasons; what is refused is the platform then.
    for number, mismatches in enumerate(variants, start=1):
        place = f" (variant {number} of {len(variants)})" if len(variants) > 1 else ""
        leaves += [mismatch + place for mismatch in mismatches]
    if not variants:
        leaves.append("The session trusts no enclave for this service")
    causes = [_ALL_FAILED] if platform else [_ANY_FAILED, _ALL_FAILED, _ANY_FAILED]
    return causes + [f"Error {number} of {len(leaves)}: {leaf}" for number, leaf in enumerate(leaves, start=1)]
