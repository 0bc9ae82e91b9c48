"""What a transfer service reads of requests: forms, and ranges."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bannock.errors import InputError
from bannock.execution.transfer.form import Begin, Content, End, FormFiles
from bannock.execution.transfer.service import requested_range

_TYPE = "multipart/form-data; boundary=----WebKitFormBoundary7MA4YWxkTrZu0gW"
_LINE = b"------WebKitFormBoundary7MA4YWxkTrZu0gW"


def _form(files: list[tuple[str, bytes]], *, field: bool = False) -> bytes:
    body = b""
    if field:
        body += _LINE + b'\r\nContent-Disposition: form-data; name="text"\r\n\r\nno file\r\n'
    for name, content in files:
        head = f'\r\nContent-Disposition: form-data; name="filedata"; filename="{name}"\r\nContent-Type: text/plain'
        body += _LINE + head.encode() + b"\r\n\r\n" + content + b"\r\n"
    return body + _LINE + b"--\r\n"


def _read(body: bytes, step: int) -> list[tuple[str, bytes]]:
    form, files = FormFiles(_TYPE), list[tuple[str, bytes]]()
    name, data = "", b""
    for at in range(0, len(body), step):
        for event in form.feed(body[at : at + step]):
            match event:
                case Begin(name=begun):
                    name, data = begun, b""
                case Content(data=more):
                    data += more
                case End():
                    files.append((name, data))
    form.finish()
    return files


_CONTENTS = st.lists(
    st.one_of(st.binary(max_size=300), st.sampled_from([b"", b"\r\n", _LINE, b"\r\n--", b"\r\n" + _LINE[:-1]]))
)


@settings(max_examples=150, deadline=None)
@given(contents=_CONTENTS, step=st.integers(1, 400), field=st.booleans())
def test_files_of_a_form_come_whole(contents: list[bytes], step: int, *, field: bool) -> None:
    """However it is cut on the way, each file is what was sent, and fields that are no files are left out."""
    files = [(f"name {number}.txt", content) for number, content in enumerate(contents)]
    assert _read(_form(files, field=field), step) == files


@pytest.mark.parametrize("length", range(0, 300, 7))
def test_form_that_is_cut_is_refused(length: int) -> None:
    """A form has an end."""
    body = _form([("a", b"x" * 100)])
    with pytest.raises(InputError, match="before its end"):
        _read(body[: min(length, len(body) - 5)], 50)


@pytest.mark.parametrize("kind", ["", "text/plain", "multipart/form-data", "multipart/form-data; boundary="])
def test_what_is_no_form_is_refused(kind: str) -> None:
    """A body of another type has no files that could be told apart."""
    with pytest.raises(InputError, match="a form with files"):
        FormFiles(kind)


def test_header_without_end_is_refused() -> None:
    """What a part says of itself is bounded."""
    form = FormFiles(_TYPE)
    with pytest.raises(InputError, match="does not end"):
        list(form.feed(_LINE + b"\r\n" + b"x" * 10_000))


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("", (0, 10)),
        ("bytes=0-", (0, 10)),
        ("bytes=0-0", (0, 1)),
        ("bytes=3-5", (3, 3)),
        ("bytes=3-500", (3, 7)),
        ("bytes=9-", (9, 1)),
        ("bytes=-4", (6, 4)),
        ("bytes=-400", (0, 10)),
        ("bytes=10-", None),
        ("bytes=-0", None),
        ("bytes=5-3", (0, 10)),
        ("bytes=-", (0, 10)),
        ("bytes=0-1,4-5", (0, 10)),
        ("items=0-1", (0, 10)),
        ("bytes=\u0661-\u0662", (0, 10)),
        (f"bytes={'9' * 99}-", (0, 10)),
    ],
)
def test_ranges(header: str, expected: tuple[int, int] | None) -> None:
    """A range is answered as RFC 9110 has it; what is none that is served counts as if it were not there."""
    assert requested_range(header, 10) == expected


def test_range_of_nothing() -> None:
    """An empty file has no bytes to ask for."""
    assert requested_range("bytes=0-", 0) is None
    assert requested_range("", 0) == (0, 0)
