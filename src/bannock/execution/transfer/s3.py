"""S3, from the side of who has the credentials: a store, and URLs signed for a host that has none.

Every request is made with a presigned URL (AWS Signature Version 4, query parameters), so there is one way to fail.
Objects are ``PREFIX/RUN/NAME``; nothing outside of the run's own is touched, whatever a host says.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, urlencode

from bannock.errors import InputError, NotFoundError, PeerError
from bannock.execution.transfer.index import keep_known
from bannock.execution.transfer.presigned import part_bytes
from bannock.execution.transfer.storage import MIB, Patience, Stored, retrying
from bannock.execution.transfer.web import origin, parse_url, read_at_most, request

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

__all__ = ["S3Account", "S3Store"]

_BUCKET: Final = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,254}")
_PREFIX: Final = re.compile(r"[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)*")
_DAY_SECONDS: Final = 86_400
#: The longest that a signature holds.
_DAYS_MAX: Final = 7
_LISTING_BYTES_MAX: Final = 16 * MIB
_KEY: Final = re.compile(rb"<Key>([^<]{1,1024})</Key>")
#: Places that are signed for a stream of a host: 64 parts of 16 MiB, the others of 64 MiB.
_GRANTED_PARTS: Final = 2048
_HINT: Final = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, for other services than Amazon's AWS_ENDPOINT_URL_S3"


@dataclass(frozen=True, slots=True, kw_only=True)
class S3Account:
    """A bucket, and who may use it.

    Attributes:
        bucket: its name.
        prefix: what the names of all objects begin with; may be empty.
        endpoint: URL of the service.
        region: that signatures are for.
        access_key: name of the key.
        secret_key: signs; never shown.
        token: of a session, if the key is of one; never shown.
        path_style: whether the bucket is in the path of URLs and not in the name of the host.
    """

    bucket: str
    prefix: str
    endpoint: str
    region: str
    access_key: str
    secret_key: str = field(repr=False)
    token: str | None = field(default=None, repr=False)
    path_style: bool

    @classmethod
    def of(cls, url: str, environment: Mapping[str, str]) -> S3Account:
        """Take ``s3://BUCKET[/PREFIX]`` and the usual variables of the environment.

        Raises:
            InputError: the URL is not such a one, or the environment has no credentials.
        """
        bucket, _, prefix = url.removeprefix("s3://").rstrip("/").partition("/")
        if not url.startswith("s3://") or not _BUCKET.fullmatch(bucket) or (prefix and not _PREFIX.fullmatch(prefix)):
            raise InputError(f"an S3 bucket is s3://BUCKET[/PREFIX], found {url[:80]!r}")
        access, secret = environment.get("AWS_ACCESS_KEY_ID"), environment.get("AWS_SECRET_ACCESS_KEY")
        if not access or not secret:
            raise InputError(f"there are no credentials for s3://{bucket}", hint=_HINT)
        region = environment.get("AWS_REGION") or environment.get("AWS_DEFAULT_REGION") or "us-east-1"
        own = environment.get("AWS_ENDPOINT_URL_S3") or environment.get("AWS_ENDPOINT_URL")
        endpoint = (own or f"https://s3.{region}.amazonaws.com").rstrip("/")
        parse_url(endpoint)
        return cls(
            bucket=bucket, prefix=prefix, endpoint=endpoint, region=region, access_key=access, secret_key=secret,
            token=environment.get("AWS_SESSION_TOKEN") or None,
            # A certificate for *.s3.… is not one for names with further dots.
            path_style=bool(own) or "." in bucket,
        )  # fmt: skip

    @property
    def name(self) -> str:
        """For people."""
        return f"s3://{self.bucket}/{self.prefix}".rstrip("/")

    def key(self, run: str, name: str = "") -> str:
        """Return the key of an object of a run, or what all of them begin with."""
        return "/".join(part for part in (self.prefix, run) if part) + f"/{name}"

    def signed(self, method: str, key: str, seconds: int, query: Mapping[str, str] | None = None) -> str:
        """Return a URL with which whoever has it can make one kind of request for an object, or for the bucket."""
        # Loaded here, since who uses another way has not to wait for it.
        from botocore.auth import S3SigV4QueryAuth  # noqa: PLC0415
        from botocore.awsrequest import AWSRequest  # noqa: PLC0415
        from botocore.credentials import Credentials  # noqa: PLC0415

        url = parse_url(self.endpoint)
        virtual = f"{url.scheme}://{self.bucket}.{url.netloc}/"
        base = f"{self.endpoint}/{self.bucket}/" if self.path_style else virtual
        asked = AWSRequest(method=method, url=base + quote(key) + (f"?{urlencode(query)}" if query else ""))
        credentials = Credentials(self.access_key, self.secret_key, self.token)
        S3SigV4QueryAuth(credentials, "s3", self.region, expires=seconds).add_auth(asked)
        return str(asked.url)


class S3Store:
    """The objects of one stream.

    Args:
        account: the bucket.
        run: the name of the run.
        prefix: what the names of the stream's objects begin with.
        days: how long URLs hold.
    """

    def __init__(self, account: S3Account, run: str, prefix: str = "", *, days: int = 1) -> None:
        self._account = account
        self._run = run
        self._prefix = prefix
        self._seconds = min(days, _DAYS_MAX) * _DAY_SECONDS
        self.name: Final = f"{account.name} ({origin(parse_url(account.endpoint))})"

    def part_bytes(self, number: int) -> int:
        """Return how large a part is to be (:class:`bannock.execution.transfer.storage.Store`)."""
        return part_bytes(number)

    def put(self, name: str, data: bytes | memoryview) -> Stored:
        """Keep an object; the reference is a URL for whoever has no credentials."""
        own = f"{self._prefix}{name}"
        key = self._account.key(self._run, own)
        url = self._account.signed("PUT", key, self._seconds)
        with request("PUT", url, headers={"Content-Length": str(len(data))}, body=data) as answer:
            answer.read()
        return Stored(reference=self._account.signed("GET", key, self._seconds), deletion=own)

    def get(self, reference: str, limit: int) -> bytearray:
        """Fetch an object that a host says to have put, by its name."""
        with request("GET", self._account.signed("GET", self._key(reference), self._seconds)) as answer:
            return read_at_most(answer, limit)

    def delete(self, stored: Stored) -> None:
        """Delete an object (:class:`bannock.execution.transfer.storage.Store`)."""
        key = self._key(stored.reference if stored.deletion is None else stored.deletion)
        self._delete(key)

    def grants(self, patience: Patience) -> dict[str, Any]:
        """Sign places for a stream of a host, and return where their list is."""
        names = [f"{number:06d}" for number in range(_GRANTED_PARTS)]
        urls = {
            name: self._account.signed("PUT", self._account.key(self._run, f"{self._prefix}{name}"), self._seconds)
            for name in (*names, "index")
        }
        return keep_known(self, "grants", json.dumps(urls).encode(), patience)

    def delete_all(self, name: str, patience: Patience) -> None:
        """Delete all objects of the run whose names begin so.

        Raises:
            BannockError: they cannot be listed, or deleted.
        """
        begin = self._account.key(self._run)
        query = {"list-type": "2", "prefix": begin + name}
        deleted: set[str] = set()
        while True:
            keys = retrying(lambda: self._listed(query), patience)
            own = [key for key in keys if key.startswith(begin + name) and _NAME.fullmatch(key.removeprefix(begin))]
            if not own:
                return
            if not deleted.isdisjoint(own):
                raise PeerError(f"{self.name} still lists objects of the run after it has deleted them")
            # A listing has a thousand keys at most; when these are gone it has the next ones.
            for key in own:
                retrying(lambda key=key: self._delete(key), patience)  # type: ignore[misc]
            deleted.update(own)

    def _listed(self, query: Mapping[str, str]) -> list[str]:
        with request("GET", self._account.signed("GET", "", self._seconds, query)) as answer:
            document = bytes(read_at_most(answer, _LISTING_BYTES_MAX))
        return [found.decode("utf-8", "replace") for found in _KEY.findall(document)]

    def _delete(self, key: str) -> None:
        try:
            with request("DELETE", self._account.signed("DELETE", key, self._seconds)):
                pass
        except NotFoundError:
            pass

    def _key(self, name: str) -> str:
        if not _NAME.fullmatch(name):
            raise PeerError(f"{name[:80]!r} is no name of an object of the run")
        return self._account.key(self._run, name)
