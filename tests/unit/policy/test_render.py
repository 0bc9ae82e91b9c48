"""Templates that are rendered for a CAS."""

import pytest

from bannock.errors import PolicySyntaxError
from bannock.policy import SecretValues, service_configuration
from bannock.policy.parse import parse_session, render_session, session_hash

_TEMPLATE = """
name: $SESSION
version: "0.3.10"
services:
  - name: app
    command: /app/run
    mrenclaves: [$MRENCLAVE]
    environment:
      GREETING: $GREETING
"""
_VARIABLES = {"SESSION": "ns/run", "MRENCLAVE": "ab" * 32, "GREETING": 'say: "hi"\n- \x07 é 😀 {}'}


def test_rendered_document_is_the_session_of_the_template() -> None:
    """A document without variables hashes to what the template with its variables hashes to."""
    rendered = render_session(_TEMPLATE, variables=_VARIABLES)
    expected = session_hash(parse_session(_TEMPLATE, variables=_VARIABLES))
    assert session_hash(parse_session(rendered)) == expected


def test_missing_variable_is_refused() -> None:
    """A template is rendered whole or not at all."""
    with pytest.raises(PolicySyntaxError) as caught:
        render_session(_TEMPLATE, variables={"SESSION": "ns/run", "MRENCLAVE": "ab" * 32})
    assert "$GREETING" in caught.value.reasons[0]


def test_a_value_may_hold_a_dollar_sign() -> None:
    """What a variable brought in is text: a CAS takes the rendered document as it stands."""
    variables = {**_VARIABLES, "GREETING": "pa$word ${costs} $5 $$ $"}
    rendered = render_session(_TEMPLATE, variables=variables)
    session = parse_session(rendered, variables=None)
    configuration = service_configuration(session, "app", SecretValues(), {})
    assert configuration.environment == {"GREETING": variables["GREETING"]}
    assert session_hash(session) == session_hash(parse_session(_TEMPLATE, variables=variables))
