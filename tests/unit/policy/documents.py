"""Session documents that the tests of this room share."""

from __future__ import annotations

import datetime as dt
import textwrap
from typing import TYPE_CHECKING, Final

import pytest

from bannock.errors import Issue, PolicySyntaxError
from bannock.policy import Session, parse_session

if TYPE_CHECKING:
    from collections.abc import Mapping

MEASUREMENT: Final = "5e753b24ae9c62c5d86f0fc6e1acb663f0debdcee99f6c327de66cbf3ce3ef66"
OTHER_MEASUREMENT: Final = "2b16b78fc54fa13ce038a9abbdc7fbc4b87f12e42ca6ae07654d7d4c387ea13a"
SIGNER: Final = "11c4e150b76c2b145f7fadb6c30455e1046b9e6fbb75b49c6e13341ad8acc5bd"
KEY: Final = "66e7935397249112d1148e6ce98a396a8c96b3b0ae70708c16ff284c66f0821e"
TAG: Final = "5a0fe9bdcfed5c0391a707e05f6cfbeb"
#: When the keys of the tests are made.
NOW: Final = dt.datetime(2024, 5, 1, 12, tzinfo=dt.UTC)
OTHER_TAG: Final = "8d8fbe332fb9c893020be791ccd3e8a8"

TEMPLATE: Final = """\
name: $SESSION
version: "0.3.11"
services:
  - name: copy_demo
    image_name: copy_demo
    mrenclaves: [$MRENCLAVE]
    command: copy_demo -a /encryptedInputs/. /encryptedOutputs/
    pwd: /
    environment:
      GREETING: $$SCONE::greeting$$
images:
  - name: copy_demo
    volumes:
      - name: encrypted-input-files
        path: /encryptedInputs
      - name: encrypted-output-files
        path: /encryptedOutputs
    injection_files:
      - path: /etc/greeting.conf
        permission: 0o400
        content: |
          greeting=$$SCONE::greeting$$
volumes:
  - name: encrypted-input-files
    fspf_key: $INPUT_FSPF_KEY
    fspf_tag: $INPUT_FSPF_TAG
  - name: encrypted-output-files
secrets:
  - name: greeting
    kind: ascii
security:
  attestation:
    tolerate: [simulation]
access_policy:
  read: [CREATOR]
  update: [CREATOR]
"""

VARIABLES: Final[Mapping[str, str]] = {
    "SESSION": "demo",
    "MRENCLAVE": MEASUREMENT,
    "INPUT_FSPF_KEY": KEY,
    "INPUT_FSPF_TAG": TAG,
}


def session_text(*, service: str = "", attestation: str | None = None, rest: str = "") -> str:
    """Write a document with one service, into which a test puts what it is about."""
    trusted = f"mrenclaves: [{MEASUREMENT}]" if attestation is None else attestation
    lines = "\n".join(part for part in (trusted, textwrap.dedent(service).strip()) if part)
    body = textwrap.indent(lines, "    ")
    if "command:" not in service:
        body = "    command: run\n" + body
    return f'name: test\nversion: "0.3"\nservices:\n  - name: main\n{body}\n{textwrap.dedent(rest)}'


def parse(*, service: str = "", attestation: str | None = None, rest: str = "") -> Session:
    """Parse such a document."""
    return parse_session(session_text(service=service, attestation=attestation, rest=rest))


def issues_of(text: str, variables: Mapping[str, str] | None = None) -> tuple[Issue, ...]:
    """Give the issues of a document that has some."""
    with pytest.raises(PolicySyntaxError) as caught:
        parse_session(text, variables=variables or {})
    assert caught.value.issues
    return caught.value.issues


def only_issue(text: str, variables: Mapping[str, str] | None = None) -> Issue:
    """Give the issue of a document that has exactly one."""
    (issue,) = issues_of(text, variables)
    return issue
