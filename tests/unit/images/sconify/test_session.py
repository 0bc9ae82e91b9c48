"""Sessions of protected images: the template, its hooks, and what the session language says of the result."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from bannock.errors import InputError
from bannock.images.sconify.options import SconifyOptions, SessionVolume, absolute, protected_directory, session_name
from bannock.images.sconify.protection import ProtectionFileOfImage
from bannock.images.sconify.session import TEMPLATE, Started, session_text
from bannock.policy.configuration import UpdatePolicy
from bannock.policy.parse import parse_session
from bannock.values import FspfKey, FspfTag, Measurement

if TYPE_CHECKING:
    from bannock.policy.session import Session

# As the documentation of the original has them in shells' here-documents.
_SECRETS = """secrets:
    - name: api_ca_key
      kind: private-key
    - name: api_ca_cert
      kind: x509-ca
      export_public: true
      private_key: api_ca_key
    - name: flask_key
      kind: private-key
    - name: flask
      kind: x509
      private_key: flask_key
      issuer: api_ca_cert
      dns:
        - api"""
_FILES = """     injection_files:
        - path: "/tls/flask.crt"
          content: $$SCONE::flask.crt$$
        - path: "/tls/flask.key"
          content: "$$SCONE::flask.key$$"
"""
_PROTECTION = ProtectionFileOfImage(content=b"", key=FspfKey(bytes(range(32))), tag=FspfTag(bytes(16)))


def _started(**changes: Any) -> Started:
    values: dict[str, Any] = {
        "image": "flask", "command": ("python3", "/app/x y.py", '"#: $HOME'), "directory": "/app",
        "environment": {"A": "1: 2", "B": "$NAME ${SESSION} # no", "C": "ä\n"}, "measurement": Measurement(bytes(32)),
        "protection": _PROTECTION, "protection_path": "/opt/bannock/image/image.fspf", **changes,
    }  # fmt: skip
    return Started(**values)


def _session(started: Started | None = None, hooks: dict[str, str] | None = None, **changes: Any) -> Session:
    options = SconifyOptions(**{"binary": "/b", "session": "ns/flask", **changes})
    return parse_session(session_text(options, started or _started(), hooks or {}), variables=None)


def test_everything_is_taken_word_for_word() -> None:
    """Commands and variables with characters that YAML, shells or templates have a use for."""
    (service,) = _session().services
    document: Any = _session().document
    assert document["name"] == "ns/flask"
    made = document["services"]
    assert made[0]["command"] == ["python3", "/app/x y.py", '"#: $HOME']
    assert made[0]["environment"] == {"A": "1: 2", "B": "$NAME ${SESSION} # no", "C": "ä\n"}
    assert made[0]["pwd"] == "/app"
    assert service.fspf is not None
    assert service.fspf.update_policy is UpdatePolicy.EPHEMERAL


def test_the_hooks_of_the_documentation() -> None:
    """Parts with the indentation that they have in scripts of users."""
    session = _session(hooks={"SECRETS": _SECRETS, "INJECTED_FILES": _FILES})
    assert [secret.name for secret in session.secrets] == ["api_ca_key", "api_ca_cert", "flask_key", "flask"]
    (image,) = session.images
    assert [file.path for file in image.files] == ["/tls/flask.crt", "/tls/flask.key"]


def test_without_a_protection_file() -> None:
    """A session without encrypted directories names none."""
    assert _session(_started(protection=None)).services[0].fspf is None


def test_volumes() -> None:
    """Own ones, imported ones, exported ones."""
    texts = ["a:/data", "b:/in:other/session:", "c:/out::to-one:to-two"]
    session = _session(volumes=tuple(map(SessionVolume.parse, texts)))
    assert [volume.name for volume in session.volumes] == ["a", "b", "c"]
    assert [volume.path for volume in session.images[0].volumes] == ["/data", "/in", "/out"]


def test_what_is_tolerated() -> None:
    """Nothing, unless it is asked for."""
    document: Any = _session().document
    assert document["security"]["attestation"] == {}
    document = _session(tolerate=("outdated-tcb", "simulation")).document
    assert document["security"]["attestation"] == {
        "tolerate": ["outdated-tcb", "simulation"], "ignore_advisories": "*",
    }  # fmt: skip
    document = _session(any_service=True).document
    assert document["security"]["attestation"] == {"mode": "none"}
    assert "attestation" not in document["services"][0]


def test_another_template() -> None:
    """A user's template gets the same values; a hook without a place for it is an error."""
    options = SconifyOptions(binary="/b", session="s")
    template = 'name: $SESSION\nversion: "0.3"\nservices: [{name: x, command: $COMMAND, mrenclaves: [$MRENCLAVE]}]\n'
    text = session_text(options, _started(), {}, template)
    assert f'mrenclaves: ["{"00" * 32}"]' in text
    parse_session(text, variables=None)
    with pytest.raises(InputError, match="SECRETS is set") as caught:
        session_text(options, _started(), {"SECRETS": _SECRETS}, template)
    assert "$SECRETS on a line of its own" in str(caught.value.hint)


def test_every_name_of_the_template_is_filled() -> None:
    """Nothing of the template is left."""
    text = session_text(SconifyOptions(binary="/b", session="s"), _started(environment={}, command=("x",)), {})
    assert "$" not in text
    assert "$SESSION" in TEMPLATE


@pytest.mark.parametrize("text", ["", "a", "a:", ":/b", "a:b", "a:/x:from:to", "a:/../x"])
def test_volumes_of_another_form(text: str) -> None:
    """Each is refused."""
    with pytest.raises(InputError, match="--volume"):
        SessionVolume.parse(text)


@pytest.mark.parametrize("path", ["/", "/etc", "/proc/self", "/opt/bannock/x", "//", "/etc/"])
def test_directories_that_engines_use(path: str) -> None:
    """They cannot be protected."""
    with pytest.raises(InputError, match="cannot be protected"):
        protected_directory(path)


def test_paths_are_plain() -> None:
    """Doubled slashes go; relative paths and steps upwards are refused."""
    assert absolute("--dir", "//app//x/") == "/app/x"
    for path in ("app", "/app/../x", "/a\0"):
        with pytest.raises(InputError, match="absolute path"):
            absolute("--dir", path)


def test_names_of_sessions() -> None:
    """The name of the image without what names cannot have."""
    assert session_name("registry.example.com:5000/team/app:1.0") == "registry.example.com-5000teamapp-1.0"
    assert session_name("flask_image") == "flask_image"
