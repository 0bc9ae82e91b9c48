"""``bannock transfer serve`` as users of transfer.sh use theirs: with the lines of its documentation, by curl."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from bannock.net.tls import Identity

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")

_SECONDS = 60


class _Served:
    """A service that was started by its command, with TLS."""

    def __init__(self, url: str, authority: Path) -> None:
        self.url = url
        self._authority = authority

    def sh(self, line: str, *, code: int = 0) -> str:
        """Run a line of the documentation."""
        environment = {"PATH": "/usr/bin:/bin", "CURL_CA_BUNDLE": str(self._authority)}
        written = line.replace("https://transfer.sh", self.url).replace("curl ", "curl -sS ")
        done = subprocess.run(
            ["/bin/bash", "-o", "pipefail", "-c", written],
            env=environment, capture_output=True, timeout=_SECONDS, check=False, cwd=self._authority.parent,
        )  # fmt: skip
        assert done.returncode == code, done.stderr.decode()
        return done.stdout.decode()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[_Served]:
    """One service for all lines."""
    root = tmp_path_factory.mktemp("served")
    identity = Identity.generate("localhost")
    (root / "key.pem").write_bytes(identity.to_pem().reveal())
    (root / "key.pem").chmod(0o600)
    (root / "certificate.pem").write_bytes(identity.certificate_pem)
    (root / "hello.txt").write_text("hello\n")
    (root / "hello2.txt").write_text("hello again\n")
    (root / "large").write_bytes(bytes(range(256)) * (20 << 12))
    command = [sys.executable, "-m", "bannock.cli.bannock", "transfer", "serve", "--listen", "127.0.0.1:0"]
    command += ["--directory", str(root / "kept"), "--max-file", "1", "--max-days", "30"]
    command += ["--certificate", str(root / "certificate.pem"), "--key", str(root / "key.pem")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            assert process.stdout is not None
            found = re.search(r"https://127\.0\.0\.1:\d+", process.stdout.readline())
            assert found is not None
            yield _Served(found[0], root / "certificate.pem")
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(_SECONDS) == 0


def _kept(served: _Served, line: str) -> str:
    """Keep a file and return its URL as the documentation has it: below the service's name."""
    return served.sh(line).strip().replace(served.url, "https://transfer.sh")


def test_upload_and_download(served: _Served) -> None:
    """The first lines of the README, with a large file too."""
    url = _kept(served, "curl -v --upload-file ./hello.txt https://transfer.sh/hello.txt")
    assert served.sh(f"curl {url}") == "hello\n"
    assert served.sh(f"curl {url.replace('transfer.sh/', 'transfer.sh/get/')}") == "hello\n"
    assert served.sh(f"curl {url.replace('transfer.sh/', 'transfer.sh/inline/')}") == "hello\n"
    large = _kept(served, "curl --upload-file ./large https://transfer.sh/large")
    served.sh(f"curl {large} -o came && cmp came large")


def test_upload_of_a_pipe(served: _Served) -> None:
    """What comes out of a pipe has no length before its end."""
    url = _kept(served, "cat large | curl -X PUT --upload-file '-' https://transfer.sh/test.txt")
    served.sh(f"curl {url} | cmp - large")


def test_limits(served: _Served) -> None:
    """Downloads and days are bounded as asked, and answers tell what is left."""
    url = _kept(
        served,
        'curl --upload-file ./hello.txt https://transfer.sh/hello.txt -H "Max-Downloads: 2" -H "Max-Days: 5"',
    )
    told = served.sh(f"curl -I {url}").lower()
    assert "x-remaining-downloads: 2" in told
    assert "x-remaining-days: 4" in told or "x-remaining-days: 5" in told
    assert "x-remaining-downloads: 1" in served.sh(f"curl -D - {url}").lower()
    assert served.sh(f"curl {url}") == "hello\n"
    served.sh(f"curl -f {url}", code=22)


def test_deletion(served: _Served) -> None:
    """X-Url-Delete deletes."""
    told = served.sh("curl -D - --upload-file ./hello.txt https://transfer.sh/hello.txt")
    deletion = re.search(r"x-url-delete: (\S+)", told, re.IGNORECASE)
    assert deletion is not None
    url = told.strip().splitlines()[-1]
    assert deletion[1].startswith(url)
    served.sh(f"curl -f -X DELETE {deletion[1]}")
    served.sh(f"curl -f {url}", code=22)


def test_several_files_at_once(served: _Served) -> None:
    """A form with two files gives two URLs."""
    told = served.sh("curl -i -F filedata=@hello.txt -F filedata=@hello2.txt https://transfer.sh/")
    urls = [line for line in told.splitlines() if line.startswith("https://")]
    assert [served.sh(f"curl {url}") for url in urls] == ["hello\n", "hello again\n"]
    large = served.sh("curl -F filedata=@large https://transfer.sh/").strip()
    served.sh(f"curl {large} | cmp - large")


def test_download_in_parts(served: _Served) -> None:
    """A part can be asked for, and a download that was broken off goes on."""
    url = _kept(served, "curl --upload-file ./large https://transfer.sh/large")
    assert served.sh(f"curl -r 10-12 {url} | od -An -tu1").split() == ["10", "11", "12"]
    served.sh(f"head -c 1000000 large > half && curl -C - -o half {url} && cmp half large")
    assert "416" in served.sh(f"curl -D - -r 99999999- {url}")


def test_too_large_is_refused_at_once(served: _Served) -> None:
    """A file over the limit is refused by its length, before it is sent."""
    served.sh("truncate -s 2G huge")
    told = served.sh("curl --upload-file huge https://transfer.sh/huge; rm huge")
    assert "larger than the 1073741824 bytes" in told


def test_certificate_and_key_belong_together(tmp_path: Path) -> None:
    """One without the other is refused, and so is a key that others may read."""
    command = [sys.executable, "-m", "bannock.cli.bannock", "transfer", "serve", "--directory", str(tmp_path / "kept")]
    identity = Identity.generate("localhost")
    (tmp_path / "pem").write_bytes(identity.to_pem().reveal())
    (tmp_path / "pem").chmod(0o644)
    for further, said in (
        (["--key", "x"], "belong together"),
        (["--key", str(tmp_path / "pem"), "--certificate", str(tmp_path / "pem")], "chmod"),
    ):
        done = subprocess.run([*command, *further], capture_output=True, text=True, timeout=_SECONDS, check=False)
        assert done.returncode not in (0, 1)
        assert said in done.stderr
