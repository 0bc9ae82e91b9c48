"""Speaking with one registry: HTTPS, logins, redirections, in bounded memory.

A login goes to the registry itself and to the service that it names for tokens, never to where a redirection leads. In
the clear only registries on this machine are spoken with. Not for several threads.
"""

from __future__ import annotations

import contextlib
import http.client
import ipaddress
import json
import re
import ssl
import time
import urllib.request
from http import HTTPStatus
from typing import TYPE_CHECKING, Final
from urllib.parse import urlencode, urljoin, urlsplit

from bannock.errors import Bug, DeniedError, EnvironmentFault, InputError, NotFoundError, PeerError
from bannock.values import Secret

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path

    from bannock.errors import BannockError
    from bannock.images.credentials import Credentials

__all__ = ["Answer", "RegistryWeb"]

#: What an answer of the registry is; its body is read by whoever asked.
Answer = http.client.HTTPResponse

_HUB: Final = "docker.io"
_HUB_HOST: Final = "registry-1.docker.io"
_SECONDS: Final = 60.0
_TLS_PORT: Final = 443
_PROXY_PORT: Final = 8080
_REDIRECTIONS_MAX: Final = 5
_ERROR_BYTES_MAX: Final = 64 << 10
_REDIRECTED: Final = frozenset({301, 302, 303, 307, 308})
#: What passes by itself; each attempt waits longer.
_BUSY: Final = frozenset({429, 502, 503, 504})
_PAUSES: Final = (0.5, 2.0, 5.0)
_PARAMETER: Final = re.compile(r'([a-zA-Z]+)="([^"\\]*)"')


class RegistryWeb:
    """One registry.

    Args:
        domain: ``HOST[:PORT]``.
        credentials: of the user.
        authorities: a directory with ``*.crt`` of authorities for this registry, as Docker has it
            (``/etc/docker/certs.d/HOST:PORT``).
        sleep: waits.
    """

    def __init__(
        self,
        domain: str,
        credentials: Credentials,
        *,
        authorities: Path | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.domain: Final = domain
        self._credentials = credentials
        self._sleep = sleep
        self._tls = ssl.create_default_context()
        if authorities is not None and authorities.is_dir():
            for path in sorted(authorities.glob("*.crt")):
                self._tls.load_verify_locations(path)
        host = _HUB_HOST if domain == _HUB else domain
        self._base = f"https://{host}"
        self._is_here = _is_loopback(urlsplit(self._base).hostname or "")
        #: Whether it has ever answered: what was never there does not come back by itself.
        self._reached = False
        self._open: dict[str, http.client.HTTPConnection] = {}
        self._authorization: dict[str, Secret] = {}

    @contextlib.contextmanager
    def ask(
        self,
        method: str,
        path: str,
        *,
        scope: str,
        body: Callable[[], Iterable[bytes]] | None = None,
        size: int = 0,
        headers: Mapping[str, str] | None = None,
    ) -> Iterator[Answer]:
        """Ask for something, and give the answer if it is one of success.

        Args:
            method: of HTTP.
            path: at the registry, or the whole address that it gave for an upload.
            scope: what a token is asked for, ``repository:NAME:pull,push``.
            body: gives the body anew each time.
            size: of the body.
            headers: of the request.

        Raises:
            NotFoundError: there is no such thing.
            DeniedError: the registry does not let us.
            EnvironmentFault: it cannot be reached, or is busy.
            PeerError: it answers with something else.
        """
        self._settle()
        url = urljoin(self._base + "/", path)
        sent = (
            dict(headers or {}) | {"Content-Length": str(size)}
            if method not in {"GET", "HEAD"}
            else dict(headers or {})
        )
        answer = self._patiently(method, url, scope, body, sent)
        try:
            if answer.status >= HTTPStatus.BAD_REQUEST:
                raise self._refusal(answer, method, path)
            yield answer
        except (OSError, http.client.HTTPException) as error:
            raise EnvironmentFault(f"the connection to the registry {self.domain} failed: {_reason(error)}") from error
        finally:
            if not answer.isclosed():
                # What was not read would stand before the next answer.
                self.close()

    def close(self) -> None:
        """Close all connections."""
        while self._open:
            self._open.popitem()[1].close()

    def _settle(self) -> None:
        """Find out whether a registry on this machine does without TLS, which is allowed, as Docker does."""
        parts = urlsplit(self._base)
        if self._reached or not self._is_here or parts.scheme != "https":
            return
        try:
            self._connection(parts.scheme, parts.netloc)
        except ssl.SSLCertVerificationError:
            return
        except ssl.SSLError:
            self._base = f"http://{parts.netloc}"
        except OSError:
            return

    def _patiently(
        self, method: str, url: str, scope: str, body: Callable[[], Iterable[bytes]] | None, headers: Mapping[str, str]
    ) -> Answer:
        """Ask again where that can help: connections break, and registries are busy.

        What has a body is sent once: how much of it has arrived is not known, so an upload has to begin anew.
        """
        for pause in (*(_PAUSES if body is None else ()), None):
            try:
                answer = self._logged_in(method, url, scope, body, headers)
            except EnvironmentFault:
                self.close()
                if pause is None or not self._reached:
                    raise
            else:
                if answer.status not in _BUSY or pause is None:
                    return answer
                answer.read(_ERROR_BYTES_MAX)
                self.close()
            self._sleep(pause)
        raise Bug("the last pause ends the loop")

    def _logged_in(
        self, method: str, url: str, scope: str, body: Callable[[], Iterable[bytes]] | None, headers: Mapping[str, str]
    ) -> Answer:
        """Ask, and once more with a login where the registry wants one."""
        known = self._authorization.get(scope)
        # Without a login a body would be sent for nothing, so a token is asked for before the first upload.
        answer = self._following(method, url, body, headers, known)
        if answer.status != HTTPStatus.UNAUTHORIZED:
            return answer
        challenge = answer.headers.get("WWW-Authenticate", "")
        answer.read(_ERROR_BYTES_MAX)
        if not answer.isclosed():
            self.close()
        authorization = self._authorize(challenge, scope)
        if authorization is None:
            return answer
        self._authorization[scope] = authorization
        return self._following(method, url, body, headers, authorization)

    def _following(
        self,
        method: str,
        url: str,
        body: Callable[[], Iterable[bytes]] | None,
        headers: Mapping[str, str],
        authorization: Secret | None,
    ) -> Answer:
        for _ in range(_REDIRECTIONS_MAX):
            sent = dict(headers)
            if authorization is not None and _origin(url) == _origin(self._base):
                sent["Authorization"] = authorization.reveal().decode("latin-1")
            answer = self._once(method, url, body() if body else None, sent)
            target = answer.headers.get("Location")
            if answer.status not in _REDIRECTED or method not in {"GET", "HEAD"} or not target:
                return answer
            answer.read(_ERROR_BYTES_MAX)
            url = urljoin(url, target)
        raise PeerError(f"the registry {self.domain} leads from one address to the next without end")

    def _once(self, method: str, url: str, body: Iterable[bytes] | None, headers: Mapping[str, str]) -> Answer:
        parts = urlsplit(url)
        if not self._may_speak_with(parts.scheme, parts.hostname):
            raise PeerError(
                f"the registry {self.domain} leads to {parts.scheme[:20]}://{parts.netloc[:100]}, which is not TLS"
            )
        try:
            connection = self._connection(parts.scheme, parts.netloc)
            path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
            # Who does not want to hear more of a body may have said why.
            with contextlib.suppress(BrokenPipeError):
                connection.request(method, path, body=body, headers=dict(headers))
            answer = connection.getresponse()
        except ssl.SSLCertVerificationError as error:
            raise PeerError(
                f"the certificate of {parts.netloc} does not hold: {error.verify_message}",
                hint=f"put the certificate of its authority into /etc/docker/certs.d/{parts.netloc}/ca.crt",
            ) from error
        except ssl.SSLError as error:
            raise PeerError(f"{parts.netloc} does not speak TLS: {error.reason or error}") from error
        except (OSError, http.client.HTTPException, ValueError) as error:
            self.close()
            raise EnvironmentFault(
                f"cannot reach {parts.netloc}: {_reason(error)}",
                hint="check the name of the registry, and the network",
            ) from error
        self._reached = True
        return answer

    def _connection(self, scheme: str, netloc: str) -> http.client.HTTPConnection:
        key = f"{scheme}://{netloc}"
        found = self._open.get(key)
        if found is None:
            found = self._connected(scheme, netloc)
            self._open[key] = found
        return found

    def _connected(self, scheme: str, netloc: str) -> http.client.HTTPConnection:
        if scheme == "http":
            # On this machine alone, so no proxy has to do with it.
            plain = http.client.HTTPConnection(netloc, timeout=_SECONDS)
            plain.connect()
            return plain
        host = urlsplit(f"//{netloc}")
        proxy = urlsplit(urllib.request.getproxies().get("https", ""))
        around = _is_loopback(host.hostname or "") or urllib.request.proxy_bypass(netloc)
        if proxy.hostname and not around:
            secure = http.client.HTTPSConnection(
                proxy.hostname, proxy.port or _PROXY_PORT, timeout=_SECONDS, context=self._tls
            )
            secure.set_tunnel(host.hostname or "", host.port or _TLS_PORT)
        else:
            secure = http.client.HTTPSConnection(netloc, timeout=_SECONDS, context=self._tls)
        secure.connect()
        return secure

    def _may_speak_with(self, scheme: str, host: str | None) -> bool:
        return bool(host) and (scheme == "https" or (scheme == "http" and self._is_here and _is_loopback(host or "")))

    def _authorize(self, challenge: str, scope: str) -> Secret | None:
        """Make what a challenge asks for (RFC 7617, and the token specification of the distribution project)."""
        kind, _, rest = challenge.partition(" ")
        login = self._credentials.login(self.domain)
        if kind.lower() == "basic":
            return Secret(login.basic().encode("latin-1")) if login is not None and not login.is_token else None
        parameters = dict(_PARAMETER.findall(rest))
        realm = parameters.get("realm", "")
        if kind.lower() != "bearer" or not realm:
            raise PeerError(
                f"the registry {self.domain} wants a login of a kind that is not known here: {kind[:40]!r}"
            )
        asked = {"service": parameters.get("service", ""), "scope": scope}
        headers: dict[str, str] = {}
        body: bytes | None = None
        if login is not None and login.is_token:
            asked |= {"grant_type": "refresh_token", "client_id": "bannock"}
            asked["refresh_token"] = login.secret.reveal().decode("latin-1")
            body = urlencode(asked).encode("ascii")
            headers["Content-Type"] = "application/x-www-form-urlencoded"
            answer = self._once("POST", realm, [body], headers | {"Content-Length": str(len(body))})
        else:
            if login is not None:
                headers["Authorization"] = login.basic()
            separator = "&" if urlsplit(realm).query else "?"
            answer = self._once("GET", realm + separator + urlencode(asked), None, headers)
        return self._token_in(answer)

    def _token_in(self, answer: Answer) -> Secret:
        data = answer.read(_ERROR_BYTES_MAX)
        if answer.status != HTTPStatus.OK:
            raise DeniedError(
                f"the registry {self.domain} does not accept the login: {answer.status}",
                hint=f"docker login {self.domain}",
            )
        try:
            told = json.loads(data)
            token = told.get("token") or told["access_token"]
            return Secret(f"Bearer {token}".encode("latin-1"))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise PeerError(f"what gives tokens for the registry {self.domain} answered with something else") from None

    def _refusal(self, answer: Answer, method: str, path: str) -> BannockError:
        reasons = _told(answer.read(_ERROR_BYTES_MAX))
        what = f"the registry {self.domain} answered {answer.status} to {method} {urlsplit(path).path[:200]}"
        if answer.status == HTTPStatus.NOT_FOUND:
            return NotFoundError(what, reasons=reasons)
        if answer.status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
            return DeniedError(what, reasons=reasons, hint=f"docker login {self.domain}")
        if answer.status in _BUSY:
            return EnvironmentFault(what, reasons=reasons)
        if answer.status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
            return InputError(what, reasons=reasons)
        return PeerError(what, reasons=reasons)


def _told(data: bytes) -> list[str]:
    """Give what the registry says of an error, as far as it is text."""
    try:
        errors = json.loads(data)["errors"]
        return [f"{str(item['code'])[:80]}: {str(item.get('message', ''))[:300]}" for item in errors[:8]]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return []


def _origin(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    return parts.scheme, parts.netloc


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _reason(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return str(getattr(error, "strerror", None) or error or type(error).__name__)[:200].lower()
