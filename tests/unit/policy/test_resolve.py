"""From a session to what one service runs with."""

from __future__ import annotations

import base64
import json
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bannock.errors import Bug, InputError, NotFoundError
from bannock.policy import (
    Configuration,
    InjectedFile,
    SecretValues,
    VolumeMount,
    generate_secrets,
    parse_session,
    service_configuration,
)
from bannock.policy.template import Template
from bannock.values import FspfKey, FspfTag, Secret
from tests.unit.policy.documents import KEY, MEASUREMENT, NOW, OTHER_TAG, TAG, TEMPLATE, VARIABLES, parse


def _random(size: int) -> bytes:
    return b"r" * size


def _resolved(service: str, rest: str) -> Configuration:
    session = parse(service=service, rest=rest)
    return service_configuration(session, "main", generate_secrets(session, None, _random, now=NOW), {})


def test_the_demo_is_resolved() -> None:
    """Arguments, environment, directory, volumes with keys and states, files with secrets."""
    session = parse_session(TEMPLATE, variables=VARIABLES)
    values = generate_secrets(session, None, _random, now=NOW)
    greeting = values.secrets["greeting"].value.reveal().decode()
    assert service_configuration(session, "copy_demo", values, {}) == Configuration(
        argv=("copy_demo", "-a", "/encryptedInputs/.", "/encryptedOutputs/"),
        environment={"GREETING": greeting},
        working_directory="/",
        volumes=(
            VolumeMount(
                name="encrypted-input-files",
                path="/encryptedInputs",
                key=FspfKey.from_hex(KEY),
                tag=FspfTag.from_hex(TAG),
            ),
            VolumeMount(name="encrypted-output-files", path="/encryptedOutputs", key=FspfKey(_random(32)), tag=None),
        ),
        files=(
            InjectedFile(path="/etc/greeting.conf", content=Secret(f"greeting={greeting}\n".encode()), mode=0o400),
        ),
    )


def test_the_confirmed_state_of_a_volume_counts() -> None:
    """Once a volume has changed, its confirmed state is given in place of the session's first one."""
    session = parse_session(TEMPLATE, variables=VARIABLES)
    tags = {
        "encrypted-input-files": FspfTag.from_hex(OTHER_TAG),
        "encrypted-output-files": FspfTag.from_hex(TAG),
        "elsewhere": FspfTag.from_hex(TAG),
    }
    resolved = service_configuration(session, "copy_demo", generate_secrets(session, None, _random, now=NOW), tags)
    assert [str(volume.tag) for volume in resolved.volumes] == [OTHER_TAG, TAG]


def test_a_secret_as_volume_key() -> None:
    """The value of the binary secret opens the volume."""
    rest = f"""
    secrets: [{{name: k, kind: binary, value: {KEY}}}]
    volumes: [{{name: v, fspf_key: $$SCONE::k$$}}]
    images: [{{name: i, volumes: [{{name: v, path: /v}}]}}]
    """
    (volume,) = _resolved("image_name: i", rest).volumes
    assert volume == VolumeMount(name="v", path="/v", key=FspfKey.from_hex(KEY), tag=None)


VALUE: Final = b"\xfb\xff\x00demo"


@pytest.mark.parametrize(
    ("suffix", "expected"),
    [
        (":hex", VALUE.hex()),
        (".hex", VALUE.hex()),
        (":base64", base64.b64encode(VALUE).decode()),
        (":base64url", base64.urlsafe_b64encode(VALUE).decode()),
        (":base32", base64.b32encode(VALUE).decode()),
        (":base32nopad", base64.b32encode(VALUE).decode().rstrip("=")),
        (":hex|escape(json)", VALUE.hex()),
    ],
)
def test_formats_of_binary_secrets(suffix: str, expected: str) -> None:
    """Every format of the language, in arguments and environment."""
    rest = f"secrets: [{{name: b, kind: binary, value: {VALUE.hex()}}}]"
    resolved = _resolved(
        f'command: ["run", "--key=$$SCONE::b{suffix}$$"]\nenvironment: {{K: "$$SCONE::b{suffix}$$"}}', rest
    )
    assert resolved.argv[1] == f"--key={expected}"
    assert resolved.environment == {"K": expected}


@pytest.mark.parametrize("suffix", ["", ":bin"])
def test_files_hold_raw_bytes(suffix: str) -> None:
    """The plain form of a binary secret goes into a file byte for byte."""
    rest = f"""
    secrets: [{{name: b, kind: binary, value: {VALUE.hex()}}}]
    images: [{{name: i, injection_files: [{{path: /k, content: "<$$SCONE::b{suffix}$$>"}}]}}]
    """
    (file,) = _resolved("image_name: i", rest).files
    assert file.content is not None
    assert file.content.reveal() == b"<" + VALUE + b">"


@given(st.text(st.characters(codec="utf-8", exclude_characters="\0$"), min_size=1))
def test_escaping_for_json(value: str) -> None:
    """An escaped secret inside the quotes of a JSON string reads as the secret."""
    session = parse_session(
        'name: a\nversion: "0.3"\nsecrets: [{name: s, kind: ascii, value: $V}]\n'
        "security: {attestation: {mode: none}}\n"
        'services: [{name: main, command: [run, \'{"s": "$$SCONE::s|escape(json)$$"}\']}]',
        variables={"V": value},
    )
    resolved = service_configuration(session, "main", generate_secrets(session, None, _random, now=NOW), {})
    assert json.loads(resolved.argv[1]) == {"s": value}


@pytest.mark.parametrize("value", ["$$SCONE::other$$", "$$", "a b; 'c\"", "$HOME", "%s{0}"])
def test_a_value_is_put_in_once_and_as_it_is(value: str) -> None:
    """A secret that looks like a placeholder, a variable or shell syntax is nothing but its characters."""
    session = parse_session(
        'name: a\nversion: "0.3"\nsecrets: [{name: s, kind: ascii, value: $V}, {name: other, kind: ascii}]\n'
        "security: {attestation: {mode: none}}\n"
        "services: [{name: main, command: run $$SCONE::s$$$$SCONE::s$$ end}]",
        variables={"V": value},
    )
    resolved = service_configuration(session, "main", generate_secrets(session, None, _random, now=NOW), {})
    assert resolved.argv == ("run", value * 2, "end")


def test_dollar_signs_that_open_no_placeholder_stay() -> None:
    """Prices and shell fragments are text."""
    assert _resolved("command: [sh, -c, 'echo $$ 5$ $$x']", "").argv == ("sh", "-c", "echo $$ 5$ $$x")


def test_an_unknown_service_is_not_found() -> None:
    """The name of a service that is not there gives its own error."""
    with pytest.raises(NotFoundError, match="has no service 'other'"):
        service_configuration(parse(), "other", SecretValues(), {})


def test_values_of_another_session_are_a_bug() -> None:
    """A secret or volume key without a value is never passed over."""
    session = parse_session(TEMPLATE, variables=VARIABLES)
    with pytest.raises(Bug, match="greeting"):
        service_configuration(session, "copy_demo", SecretValues(), {})
    values = generate_secrets(session, None, _random, now=NOW)
    with pytest.raises(Bug, match="encrypted-output-files"):
        service_configuration(session, "copy_demo", SecretValues(secrets=values.secrets), {})


@given(st.text())
def test_any_text_is_a_template_or_our_error(text: str) -> None:
    """A template without a placeholder is its text, and its repr never is."""
    try:
        template = Template.parse(text)
    except InputError:
        return
    if not list(template.placeholders):
        assert template.literal == text


def test_an_image_with_a_volume_that_is_for_its_importers() -> None:
    """An image that is exported may name volumes that its importers define; its own session cannot start it so."""
    text = f"""
name: exporter
digest: create
services: [{{name: main, image_name: shared, command: run, mrenclaves: ["{MEASUREMENT}"]}}]
images: [{{name: shared, volumes: [{{name: theirs, path: /data}}]}}]
exports: [{{namespace: image, name: shared, export: "*"}}]
"""
    session = parse_session(text)
    with pytest.raises(InputError, match="image shared has a volume theirs that session exporter does not define"):
        service_configuration(session, "main", SecretValues(), {})
