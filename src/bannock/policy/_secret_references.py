"""Whether the secrets of a session fit each other: keys to certificates, issuers to what they sign, tokens to vaults.

Pure. Works on the document's tree, as :mod:`bannock.policy._references` does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from bannock.errors import InputError
from bannock.policy._document import Mapping, Node, Scalar
from bannock.policy._issues import issue_at, nearest
from bannock.policy._versions import FIRST, rank
from bannock.policy._walk import descend, is_imported, items, scalar, text_of, unknown
from bannock.policy.template import Placeholder, SecretKind, Template
from bannock.values import FSPF_KEY_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bannock.errors import Issue

__all__ = ["check_placeholder", "check_secrets"]

_CERTIFICATES: Final = frozenset({SecretKind.X509, SecretKind.X509_CA})
#: What binary secrets for one-time passwords have at least, in bytes (128 bits).
_SHARED_SECRET_MIN: Final = 16


def check_secrets(root: Mapping) -> Iterator[Issue]:
    """Yield every issue between secrets, and of the sections that take a secret of one kind."""
    secrets = {name.text: item for item, _ in items(root, "secrets") if (name := scalar(item, "name"))}
    for item, path in items(root, "secrets"):
        if text_of(item, "kind") in _CERTIFICATES:
            yield from _certificate(root, item, path, secrets)
    yield from _issuer_loops(root, secrets)
    yield from _tokens(root, secrets)
    yield from _fspf_keys(root, "services", secrets)
    yield from _fspf_keys(root, "volumes", secrets)
    yield from _shared_secret(descend(root, "security", "attestation"), "security.attestation", secrets)
    for item, path in items(root, "services"):
        yield from _shared_secret(item, path, secrets)


def check_placeholder(
    node: Scalar, path: str, placeholder: Placeholder, kinds: dict[str, str], *, as_text: bool
) -> Iterator[Issue]:
    """Yield what is wrong with a reference to a secret in a template."""
    placeholder = placeholder.within(kinds)
    if placeholder.name not in kinds:
        message = f"no secret is named {placeholder.name!r}"
        yield issue_at(node, path, message, nearest(placeholder.name, kinds))
    elif kinds[placeholder.name]:
        try:
            placeholder.require_fit(SecretKind(kinds[placeholder.name]), as_text=as_text)
        except InputError as error:
            yield issue_at(node, path, error.message)


def _certificate(root: Mapping, item: Mapping, path: str, secrets: dict[str, Mapping]) -> Iterator[Issue]:
    generated = item.key("value") is None and not is_imported(item)
    if generated and item.key("private_key") is None and rank(text_of(root, "version", FIRST)) >= rank("0.3.0"):
        hint = "name a secret of kind private-key; only language version 0.2 made the key with the certificate"
        yield issue_at(item, path, "private_key is missing", hint)
    if (key := scalar(item, "private_key")) is not None:
        yield from _refer(key, f"{path}.private_key", secrets, frozenset({SecretKind.PRIVATE_KEY}))
    if (issuer := scalar(item, "issuer")) is not None:
        yield from _refer(issuer, f"{path}.issuer", secrets, frozenset({SecretKind.X509_CA}))
        signs = secrets.get(issuer.text)
        keyless = signs is not None and not is_imported(signs) and signs.key("value") and not signs.key("private_key")
        if generated and keyless:
            message = f"{issuer.source[:128]!r} cannot sign: it has a value, and no private_key beside it"
            yield issue_at(issuer, f"{path}.issuer", message)


def _refer(node: Scalar, path: str, secrets: dict[str, Mapping], kinds: frozenset[SecretKind]) -> Iterator[Issue]:
    """Accept a reference to a secret of one of the kinds; what an imported one is may be open."""
    secret = secrets.get(node.text)
    if secret is None:
        yield unknown(node, path, "secret", secrets)
        return
    kind = text_of(secret, "kind")
    if kind not in kinds and (kind or not is_imported(secret)):
        found = f"of kind {kind}" if kind in set(SecretKind) else "of no kind"
        yield issue_at(node, path, f"expected a secret of kind {' or '.join(sorted(kinds))}, found one {found}")


def _issuer_loops(root: Mapping, secrets: dict[str, Mapping]) -> Iterator[Issue]:
    for item, path in items(root, "secrets"):
        seen = {text_of(item, "name")}
        issuer = scalar(item, "issuer")
        above = issuer
        while above is not None and above.text in secrets:
            if above.text in seen:
                if above.text == text_of(item, "name") and issuer is not None:
                    yield issue_at(issuer, f"{path}.issuer", "a certificate cannot be above itself in its own chain")
                break
            seen.add(above.text)
            above = scalar(secrets[above.text], "issuer")


def _tokens(root: Mapping, secrets: dict[str, Mapping]) -> Iterator[Issue]:
    """A vault is opened by the token that is named, or by the only one that there is."""
    tokens = [name for name, item in secrets.items() if text_of(item, "kind") == SecretKind.AAD_TOKEN]
    vaults: list[tuple[Node | None, str]] = [
        (item.get("import_akv"), f"{path}.import_akv")
        for item, path in items(root, "secrets")
        if item.key("import") is None  # which excludes it
    ]
    store = descend(root, "secret_config", "store_in")
    vaults.append((descend(store, "!akv") or store, "secret_config.store_in"))
    for vault, path in vaults:
        if not isinstance(vault, Mapping):
            continue
        token = scalar(vault, "token")
        if token is None:
            if len(tokens) != 1:
                message = f"token is missing: the session has {len(tokens)} secrets of kind aad-token"
                yield issue_at(vault, path, message)
            continue
        placeholder = _sole(token)
        if placeholder is None:
            continue  # an issue of the form
        placeholder = placeholder.within(secrets)
        if placeholder.name not in secrets:
            message = f"no secret is named {placeholder.name!r}"
            yield issue_at(token, f"{path}.token", message, nearest(placeholder.name, secrets))
        elif placeholder.name not in tokens and text_of(secrets[placeholder.name], "kind"):
            yield issue_at(token, f"{path}.token", "expected a secret of kind aad-token")


def _fspf_keys(root: Mapping, section: str, secrets: dict[str, Mapping]) -> Iterator[Issue]:
    """A secret that is the key of a protection file is a binary one of the right size."""
    for item, path in items(root, section):
        key = scalar(item, "fspf_key")
        placeholder = None if key is None else _sole(key)
        if key is None or placeholder is None:
            continue
        placeholder = placeholder.within(secrets)
        secret = secrets.get(placeholder.name)
        if secret is None:
            message = f"no secret is named {placeholder.name!r}"
            yield issue_at(key, f"{path}.fspf_key", message, nearest(placeholder.name, secrets))
        elif not _is_key(secret) or placeholder.format or placeholder.escape_json:
            message = f"expected a secret of kind binary and size {FSPF_KEY_BYTES}, without a format"
            yield issue_at(key, f"{path}.fspf_key", message)


def _is_key(secret: Mapping) -> bool:
    if is_imported(secret):
        return text_of(secret, "kind") in {"", SecretKind.BINARY}
    size, value = scalar(secret, "size"), scalar(secret, "value")
    digits = 2 * FSPF_KEY_BYTES
    sized = len(value.text) == digits if value is not None else size is not None and size.text == str(FSPF_KEY_BYTES)
    return text_of(secret, "kind") == SecretKind.BINARY and sized


def _shared_secret(parent: Node | None, path: str, secrets: dict[str, Mapping]) -> Iterator[Issue]:
    """The shared secret of one-time passwords is base32 in an ascii secret, or a binary one that is made base32."""
    node = scalar(parent, "one_time_password_shared_secret")
    placeholder = None if node is None else _sole(node)
    if node is None or placeholder is None:
        return
    path = f"{path}.one_time_password_shared_secret"
    placeholder = placeholder.within(secrets)
    secret = secrets.get(placeholder.name)
    if secret is None:
        message = f"no secret is named {placeholder.name!r}"
        yield issue_at(node, path, message, nearest(placeholder.name, secrets))
        return
    kind, size = text_of(secret, "kind"), scalar(secret, "size")
    match kind:
        case "":
            return
        case SecretKind.ASCII:
            fits = not placeholder.format and (is_imported(secret) or secret.key("value") is not None)
        case SecretKind.BINARY:
            long = size is None or not size.text.isdecimal() or int(size.text[:9]) >= _SHARED_SECRET_MIN
            fits = placeholder.format == "base32nopad" and long
        case _:
            fits = False
    if not fits:
        message = (
            f"expected an ascii secret whose value is base32, or a binary one of size {_SHARED_SECRET_MIN} or more "
            "with :base32nopad"
        )
        yield issue_at(node, path, message)


def _sole(node: Scalar) -> Placeholder | None:
    try:
        parts = Template.parse(node.text).parts
    except InputError:
        return None  # an issue of the form
    return parts[0] if len(parts) == 1 and isinstance(parts[0], Placeholder) else None
