"""Warnings: what a document says that its version did not have, no longer has, or that has no effect.

Pure. A document is no less valid for any of them, and ``--fail-on-warning`` makes each of them an error.
"""

from __future__ import annotations

import itertools
import re
from typing import TYPE_CHECKING, Final

from bannock.errors import InputError, Issue
from bannock.policy import _document as document
from bannock.policy._document import Node, Scalar, Sequence, keys, scalars
from bannock.policy._issues import ISSUES_MAX, issue_at
from bannock.policy._versions import FIRST, LATEST, oldest_rank, rank
from bannock.policy._walk import descend, is_imported, items, scalar, text_of
from bannock.policy.template import Placeholder, SecretKind, Template, is_placeholder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

__all__ = ["check_warnings"]

_INDEX: Final = re.compile(r"\[[0-9]+\]")

#: Where (without indices) and which key, or which value of the key before the colon: the version that brought it.
_SINCE: Final[Mapping[str, str]] = {
    "access_policy.create_sessions": "0.3.5",
    "images.injection_files.permission": "0.3.10",
    "images.volumes.update_policy": "0.3.2",
    "secret_config": "0.3.10",
    "secrets.common_name": "0.3.0",
    "secrets.dns": "0.3.0",
    "secrets.endpoint": "0.3.0",
    "secrets.export.cas_url": "0.3.0",
    "secrets.export.namespace": "0.3.6",
    "secrets.import.cas_url": "0.3.0",
    "secrets.import_akv": "0.3.7",
    "secrets.issuer": "0.3.0",
    "secrets.key_type": "0.3.4",
    "secrets.key_type:RSA-2048": "0.3.7",
    "secrets.key_type:RSA-3072": "0.3.7",
    "secrets.kind:aad-token": "0.3.7",
    "secrets.kind:config-fragment": "0.3.10",
    "secrets.kind:pgp-key": "0.3.10",
    "secrets.kind:private-key": "0.3.0",
    "secrets.migrate": "0.3.7",
    "secrets.san": "0.3.10",
    "secrets.valid_for": "0.3.0",
    "security": "0.3.1",
    "security.attestation.mode:maa": "0.3.7",
    "security.attestation.one_time_password_shared_secret": "0.3.8",
    "security.service_access_token": "0.3.9",
    "security.singleton_enclaves": "0.3.9",
    "services.attestation": "0.3.7",
    "services.fspf_update_policy": "0.3.11",
    "services.one_time_password_shared_secret": "0.3.10",
    "services.platforms": "0.3.0",
    "volumes.export.to": "0.3.2",
    "volumes.export.volume_alias": "0.3.10",
}
#: The same for what later versions advise against: the first that does, and what to write now.
_GONE: Final[Mapping[str, tuple[str, str]]] = {
    "board_members": ("0.2", "write require-at-least-N in access_policy"),
    "board_policy": ("0.2", "write require-at-least-N in access_policy"),
    "digest": ("0.2", "write predecessor, and nothing for a session that is new"),
    "exports": ("0.2", "only version 0.1 exports services and images"),
    "images.import": ("0.2", "only version 0.1 imports images"),
    "images.mrenclaves": ("0.2", "write attestation in the service"),
    "images.tags": ("0.2", "tags have no effect"),
    "secrets.dns": ("0.3.10", 'write san: "dns:NAME"'),
    "secrets.kind:session-ca": ("0.3.0", "make an x509-ca secret, and name it as issuer"),
    "security.attestation.min_rsa_signing_key_size": ("0.3.10", "it has no effect any more"),
    "services.import": ("0.2", "only version 0.1 imports services"),
    "services.persistency": (FIRST, "it has no effect: what a service keeps is in its volumes"),
    "services.mrenclaves": ("0.3.7", "write attestation: [{mrenclave: [...]}]"),
    "services.tags": ("0.2", "tags have no effect"),
}
#: Where other sessions are named, in short or with a key below.
_REFERENCES: Final = frozenset(
    {"secrets.import", "secrets.export", "volumes.import", "volumes.export", "volumes.export.to"}
)
#: The version that brought a format suffix; that of the colons is :data:`_COLONS`.
_FORMATS: Final[Mapping[str, str]] = {
    "base64": "0.3.6",
    "base64url": "0.3.10",
    "base32": "0.3.10",
    "base32nopad": "0.3.10",
    "pkcs12-with-private-key": "0.3.9",
}
_COLONS: Final = "0.3.5"
_FRAGMENTS: Final = "0.3.10"
#: Settings of the runtime: the host gives them, before a session is known (reference, "environment").
_OF_THE_HOST: Final = frozenset(
    {
        "SCONE_ALLOW_DLOPEN",
        "SCONE_CAS_ADDR",
        "SCONE_CONFIG_ID",
        "SCONE_HEAP",
        "SCONE_LAS_ADDR",
        "SCONE_MODE",
        "SCONE_STACK",
    }
)
#: Registers of a TPM that measure boot loader, kernel and initial file system (UAPI group, Linux TPM PCR Registry).
_OF_THE_BOOT: Final = frozenset({"4", "8", "9", "11"})
#: What only matters where CAS makes a certificate.
_OF_GENERATED: Final = ("common_name", "endpoint", "dns", "san", "valid_for")


def check_warnings(root: document.Mapping) -> tuple[Issue, ...]:
    """Give every warning about a document that has no issues, in the order of the document."""
    found = itertools.islice(itertools.chain.from_iterable(check(root) for check in _CHECKS), ISSUES_MAX)
    return tuple(sorted(found, key=lambda issue: (issue.line, issue.column)))


def _version(root: document.Mapping) -> Iterator[Issue]:
    if root.key("version") is None and root.key("digest") is None:
        message = f"version is missing, so this is a document of language version {FIRST}"
        yield issue_at(root, "version", message, f'write version: "{LATEST}"')


def _keys(root: document.Mapping) -> Iterator[Issue]:
    """What the document's version did not have yet, or should have no more."""
    version = text_of(root, "version", FIRST)
    for path, key in keys(root):
        below = f"{path}.{key.text}" if path else key.text
        yield from _aged(version, _INDEX.sub("", below), key, below, key.source)
    for path, value in scalars(root):
        yield from _aged(version, f"{_INDEX.sub('', path)}:{value.text}", value, path, value.source)


def _aged(version: str, entry: str, node: Scalar, path: str, what: str) -> Iterator[Issue]:
    since = _SINCE.get(entry)
    if since is not None and rank(version) < rank(since):
        yield _too_early(node, path, what, since, version)
    gone = _GONE.get(entry)
    if gone is not None and oldest_rank(version) >= rank(gone[0]):
        yield issue_at(node, path, f"{what} is not for versions from {gone[0]} on", gone[1])


def _too_early(node: Node, path: str, what: str, since: str, version: str) -> Issue:
    message = f"{what[:60]} came with version {since}, and the document is of version {version}"
    return issue_at(node, path, message, f'write version: "{since}" or a later one')


def _names(root: document.Mapping) -> Iterator[Issue]:
    """Namespaces, relative names, and references in the form of version 0.2."""
    version = text_of(root, "version", FIRST)
    name = scalar(root, "name")
    if name is not None and "/" in name.text and rank(FIRST) < rank(version) < rank("0.3.5"):
        yield _too_early(name, "name", "a namespace", "0.3.5", version)
    for path, value in scalars(root):
        place = _INDEX.sub("", path)
        target = place.removesuffix(".session").removesuffix(".namespace")
        if target not in _REFERENCES:
            continue
        if value.text.startswith(".") and rank(version) < rank("0.3.10"):
            yield _too_early(value, path, "a relative name", "0.3.10", version)
        if target == place and "=" not in value.text and oldest_rank(version) >= rank("0.3.0"):
            hint = f"write {{session: {value.source[:60]}}}"
            yield issue_at(value, path, "a name alone is the form of version 0.2", hint)


def _placeholders(root: document.Mapping) -> Iterator[Issue]:
    """Formats, and secrets in sections."""
    version = text_of(root, "version", FIRST)
    for path, value in scalars(root):
        if not is_placeholder(value.text) or path.startswith(("secrets[", "secret_config")):
            continue
        in_section = path.startswith("security") or ".attestation" in path or ".platforms" in path
        if in_section and rank(version) < rank(_FRAGMENTS):
            yield _too_early(value, path, "a secret in a section", _FRAGMENTS, version)
        for placeholder in _placeholders_in(value):
            yield from _format(value, path, placeholder, version)


def _placeholders_in(value: Scalar) -> list[Placeholder]:
    try:
        return list(Template.parse(value.text).placeholders)
    except InputError:
        return []  # text that is no template


def _format(node: Scalar, path: str, placeholder: Placeholder, version: str) -> Iterator[Issue]:
    if placeholder.format.startswith("."):
        if oldest_rank(version) >= rank(_COLONS):
            meant = {".key": ":privatekey"}.get(placeholder.format, placeholder.format.replace(".", ":"))
            message = f"the suffix {placeholder.format} is not for versions from {_COLONS} on"
            yield issue_at(node, path, message, f"write {meant}")
    elif placeholder.format:
        since = _FORMATS.get(placeholder.format, _COLONS)
        if rank(version) < rank(since):
            yield _too_early(node, path, f"the suffix :{placeholder.format}", since, version)
    if placeholder.escape_json and rank(version) < rank("0.3.10"):
        yield _too_early(node, path, "|escape(json)", "0.3.10", version)


def _hosts(root: document.Mapping) -> Iterator[Issue]:
    """What the host gives: arguments and variables, and settings that only it can give."""
    version = text_of(root, "version", FIRST)
    for item, path in items(root, "services"):
        environment = item.get("environment")
        for key, _ in environment.pairs if isinstance(environment, document.Mapping) else ():
            below = f"{path}.environment.{key.text}"
            if key.text in _OF_THE_HOST:
                hint = "give it where the program is started"
                yield issue_at(key, below, f"{key.text} has no effect in a session: it is read before", hint)
            if key.text.replace("\\", "").startswith("@@") and rank(version) < rank("0.3.8"):
                yield _too_early(key, below, "a variable of the host", "0.3.8", version)
        command = item.get("command")
        words = command.items if isinstance(command, Sequence) else [command]
        for word in words:
            if isinstance(word, Scalar) and re.search(r"(?:^|\s)@@", word.text) and rank(version) < rank("0.3.8"):
                yield _too_early(word, f"{path}.command", "an argument of the host", "0.3.8", version)


def _without_effect(root: document.Mapping) -> Iterator[Issue]:
    """Parameters of what is not made here."""
    for item, path in items(root, "secrets"):
        given, imported = item.key("value") is not None, is_imported(item)
        certificate = text_of(item, "kind") in {SecretKind.X509, SecretKind.X509_CA}
        ineffective: tuple[str, ...] = ()
        if given and certificate:
            ineffective = _OF_GENERATED
        elif given and text_of(item, "kind") == SecretKind.PRIVATE_KEY:
            ineffective = ("key_type",)
        elif imported:
            ineffective = ("private_key", "issuer")
        for name in ineffective:
            if (key := item.key(name)) is not None:
                why = "has a value" if given else "is imported"
                yield issue_at(key, f"{path}.{name}", f"{name} has no effect on a secret that {why}")


def _trust(root: document.Mapping) -> Iterator[Issue]:
    """What trusts more than is probably meant, and what trusts nobody."""
    attestation = descend(root, "security", "attestation")
    mode, advisories = scalar(attestation, "mode"), descend(attestation, "ignore_advisories")
    token = descend(root, "security", "service_access_token")
    password = descend(attestation, "one_time_password_shared_secret")
    if mode is not None and mode.text == "none" and token is None and password is None:
        message = "whoever reaches the CAS gets the secrets of all services: attestation is disabled"
        yield issue_at(mode, "security.attestation.mode", message)
    if mode is None or mode.text != "maa":
        for name in ("url", "certificates"):
            if isinstance(attestation, document.Mapping) and (key := attestation.key(name)) is not None:
                yield issue_at(key, f"security.attestation.{name}", f"{name} has no effect without mode maa")
    tolerate = descend(attestation, "tolerate")
    tolerated = {value.text for _, value in scalars(tolerate)} if tolerate is not None else set()
    wildcard = next((value for _, value in scalars(advisories) if value.text == "*"), None) if advisories else None
    if wildcard is not None and tolerated.isdisjoint({"debug-mode", "debug", "simulation"}):
        message = "the wildcard has no effect without debug-mode in tolerate: production enclaves need each named"
        yield issue_at(wildcard, "security.attestation.ignore_advisories", message)
    for operation in ("update", "create_sessions"):
        rules = descend(root, "access_policy", operation)
        everybody = next((value for _, value in scalars(rules) if value.text == "ANY"), None) if rules else None
        if everybody is not None:
            yield issue_at(everybody, f"access_policy.{operation}", f"everybody may {operation}")


def _machines(root: document.Mapping) -> Iterator[Issue]:
    """Rules for machines that leave open what is booted on them."""
    place = "security.attestation"
    attestation = descend(root, "security", "attestation")
    if not isinstance(attestation, document.Mapping):
        return
    listed = items(attestation, "machines", place)
    alone = attestation.get("machines")
    if isinstance(alone, document.Mapping):
        listed = [(alone, f"{place}.machines")]
    for rule, path in listed:
        domain, machine = rule.get("tdx"), rule.get("tpm")
        if isinstance(domain, document.Mapping) and domain.key("rtmr1") is None and domain.key("rtmr2") is None:
            message = "the rule leaves open which kernel is booted, and whoever chooses it chooses the LAS"
            yield issue_at(domain, f"{path}.tdx", message, "add rtmr1 and rtmr2")
        pcrs = descend(machine, "pcrs")
        if isinstance(pcrs, document.Mapping):
            banks = [bank for _, bank in pcrs.pairs if isinstance(bank, document.Mapping)]
            registers = [(number.text, digests) for bank in banks for number, digests in bank.pairs]
            # A register of zeros is one that nothing was measured into.
            telling = {
                number for number, digests in registers if any(one.text.strip("0") for _, one in scalars(digests))
            }
            if registers and telling.isdisjoint(_OF_THE_BOOT):
                message = "the rule leaves open which kernel is booted, and whoever chooses it chooses the LAS"
                yield issue_at(pcrs, f"{path}.tpm.pcrs", message, "add PCR 4, and 9 or 11")


_CHECKS: Final[tuple[Callable[[document.Mapping], Iterator[Issue]], ...]] = (
    _version,
    _keys,
    _names,
    _placeholders,
    _hosts,
    _without_effect,
    _trust,
    _machines,
)
