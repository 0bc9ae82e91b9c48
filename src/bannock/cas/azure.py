"""Azure Active Directory and Azure Key Vault, over HTTPS with the certificates of the usual authorities.

Thread-safe, no state. Speaks the OAuth 2.0 client credentials flow of the Microsoft identity platform (v2.0, with a
shared secret or a signed assertion) and version 7.4 of the Key Vault REST API. Addresses come from session owners, so
only HTTPS is spoken, nothing is followed, and everything is bounded. Neither credentials nor tokens nor values are in
messages; what the other side says of an error is, as far as it can be shown.
"""

from __future__ import annotations

import json
import re
import ssl
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from bannock.errors import DeniedError, EnvironmentFault, InputError, NotFoundError, PeerError
from bannock.policy.base64url import base64url
from bannock.policy.private_keys import read_private_key
from bannock.values import Secret

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from bannock.policy.secret_specs import AadToken

__all__ = ["Azure", "AzureConfig"]

_API_VERSION: Final = "7.4"
_TIMEOUT_SECONDS: Final = 10.0
#: A token has a few thousand bytes, a secret at most 25,000 characters.
_ANSWER_BYTES_MAX: Final = 1 << 20
_ASSERTION_TYPE: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_ASSERTION_SECONDS: Final = 600
_THUMBPRINT: Final = re.compile("[0-9A-Fa-f]{40}")
_VAULT: Final = re.compile(r"(?:https://)?(?P<host>[A-Za-z0-9](?:[A-Za-z0-9.\-]{0,251}[A-Za-z0-9])?(?::\d{1,5})?)/?")
_SECRET_NAME: Final = re.compile(r"[0-9A-Za-z\-]{1,127}")
_TENANT: Final = re.compile(r"[0-9A-Za-z.\-]{1,128}")
_SHOWN_CHARACTERS_MAX: Final = 240


@dataclass(frozen=True, slots=True, kw_only=True)
class AzureConfig:
    """Where the directory is.

    Attributes:
        authority: of the identity platform; other clouds than the public one have others.
        scope: what tokens are for.
        ca_file: PEM of the authorities that vouch for both services; None: those of the system.
    """

    authority: str = "https://login.microsoftonline.com"
    scope: str = "https://vault.azure.net/.default"
    ca_file: Path | None = None


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirection could take a token to somebody else."""

    def redirect_request(self, *_: Any) -> None:
        return


class Azure:
    """A client of both services."""

    def __init__(
        self, config: AzureConfig, *, clock: Callable[[], dt.datetime], random: Callable[[int], bytes]
    ) -> None:
        self._config = config
        self._clock = clock
        self._random = random

    def token(self, asked: AadToken) -> Secret:
        """Get an access token with the credentials of an application.

        Raises:
            DeniedError: the directory refuses the credentials.
            EnvironmentFault: it cannot be reached.
            PeerError: it answers with something else than a token.
            InputError: the credentials are not usable.
        """
        if not _TENANT.fullmatch(asked.tenant_id):
            raise InputError(f"a tenant is an identifier or a domain, found {asked.tenant_id[:80]!r}")
        url = f"{self._config.authority}/{asked.tenant_id}/oauth2/v2.0/token"
        form = {"client_id": asked.client_id, "grant_type": "client_credentials", "scope": self._config.scope}
        if asked.application_secret is not None:
            form["client_secret"] = asked.application_secret.reveal().decode("utf-8")
        else:
            form |= {"client_assertion_type": _ASSERTION_TYPE, "client_assertion": self._assertion(asked, url)}
        body = urllib.parse.urlencode(form).encode("ascii")
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        answer = self._ask(f"Azure Active Directory, tenant {asked.tenant_id}", "POST", url, headers, body)
        token = answer.get("access_token")
        if not isinstance(token, str) or not token.isascii() or not token.isprintable() or " " in token:
            raise PeerError(f"Azure Active Directory answers without an access token for tenant {asked.tenant_id}")
        return Secret(token.encode("ascii"))

    def get(self, vault: str, name: str, token: Secret) -> Secret:
        """Read the newest version of a secret.

        Raises:
            NotFoundError: the vault has no such secret.
            DeniedError: the token does not open it.
            EnvironmentFault: the vault cannot be reached.
            PeerError: it answers with something else than a secret.
            InputError: the names are none.
        """
        answer = self._vault(vault, name, token, "GET", None)
        value = answer.get("value")
        if not isinstance(value, str):
            raise PeerError(f"Azure Key Vault {vault} answers without a value for secret {name}")
        return Secret(value.encode("utf-8"))

    def put(self, vault: str, name: str, token: Secret, value: str) -> None:
        """Write a new version of a secret.

        Raises:
            BannockError: as :meth:`get`.
        """
        self._vault(vault, name, token, "PUT", json.dumps({"value": value}).encode("utf-8"))

    def _vault(self, vault: str, name: str, token: Secret, method: str, body: bytes | None) -> Mapping[str, Any]:
        match = _VAULT.fullmatch(vault)
        if match is None:
            raise InputError(f"a key vault is a host name, such as NAME.vault.azure.net, found {vault[:80]!r}")
        if not _SECRET_NAME.fullmatch(name):
            raise InputError(f"a secret of a key vault has a name of letters, digits and dashes, found {name[:80]!r}")
        url = f"https://{match['host']}/secrets/{name}?api-version={_API_VERSION}"
        headers = {
            "Authorization": f"Bearer {token.reveal().decode('ascii', 'replace')}",
            "Content-Type": "application/json",
        }
        return self._ask(f"Azure Key Vault {match['host']}, secret {name}", method, url, headers, body)

    def _ask(
        self, what: str, method: str, url: str, headers: Mapping[str, str], body: bytes | None
    ) -> Mapping[str, Any]:
        if not url.startswith("https://"):
            raise InputError(f"{what} is asked over https, found {url.partition(':')[0][:20]!r}")
        context = ssl.create_default_context(cafile=self._config.ca_file)
        opener = urllib.request.build_opener(urllib.request.HTTPSHandler(context=context), _NoRedirect)
        request = urllib.request.Request(url, data=body, headers=dict(headers), method=method)  # noqa: S310 - https, as checked
        try:
            with opener.open(request, timeout=_TIMEOUT_SECONDS) as answer:
                content = answer.read(_ANSWER_BYTES_MAX + 1)
        except urllib.error.HTTPError as error:
            with error:
                raise _refusal(what, error.code, error.read(_ANSWER_BYTES_MAX)) from None
        except (OSError, ValueError) as error:
            reason = getattr(error, "reason", error)
            raise EnvironmentFault(
                f"cannot reach {what}: {_shown(str(reason))}", hint="check the address, and that CAS may connect to it"
            ) from None
        return _document(what, content)

    def _assertion(self, asked: AadToken, audience: str) -> str:
        """Make the assertion that the application has the key of its certificate (RFC 7523, section 2.2)."""
        thumbprint = (asked.certificate_thumbprint or "").replace(":", "")
        if asked.private_key is None or not _THUMBPRINT.fullmatch(thumbprint):
            raise InputError(
                "an AAD token needs application_secret, or private_key and certificate_thumbprint (40 hex digits)"
            )
        key = read_private_key(asked.private_key.reveal())
        if not isinstance(key, rsa.RSAPrivateKey):
            raise InputError("the private key of an AAD application is an RSA key")
        now = int(self._clock().timestamp())
        header = {"alg": "RS256", "typ": "JWT", "x5t": base64url(bytes.fromhex(thumbprint))}
        claims = {
            "aud": audience,
            "iss": asked.client_id,
            "sub": asked.client_id,
            "jti": self._random(16).hex(),
            "nbf": now,
            "exp": now + _ASSERTION_SECONDS,
        }
        signed = ".".join(base64url(json.dumps(part).encode("utf-8")) for part in (header, claims))
        return f"{signed}.{base64url(key.sign(signed.encode('ascii'), padding.PKCS1v15(), hashes.SHA256()))}"


def _refusal(what: str, status: int, content: bytes) -> DeniedError | PeerError:
    told = _told(content)
    message = f"{what} answers {status}{f': {told}' if told else ''}"
    match status:
        case HTTPStatus.UNAUTHORIZED | HTTPStatus.FORBIDDEN | HTTPStatus.BAD_REQUEST:
            return DeniedError(message, hint="check the credentials of the aad-token secret, and what it may do")
        case HTTPStatus.NOT_FOUND:
            return NotFoundError(message)
        case _:
            return PeerError(message)


def _told(content: bytes) -> str:
    """Give the code that a service gives for an error; the rest of its text may be anything."""
    try:
        error = json.loads(content)["error"]
        code = error["code"] if isinstance(error, dict) else error
    except (ValueError, KeyError, TypeError, RecursionError):
        return ""
    return _shown(str(code))


def _shown(text: str) -> str:
    return "".join(character if character.isprintable() else "�" for character in text[:_SHOWN_CHARACTERS_MAX])


def _document(what: str, content: bytes) -> Mapping[str, Any]:
    try:
        document = json.loads(content) if len(content) <= _ANSWER_BYTES_MAX else None
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise PeerError(f"{what} answers with something other than a JSON document")
    return document
