"""The owner's configuration: the examples of the public reference, and every slip in them."""

from __future__ import annotations

import contextlib
import json

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from bannock.cas.audit.config import Mode
from bannock.cas.owner_config import ConfigFormat, OwnerConfig
from bannock.errors import InputError
from bannock.net.tls import Identity
from bannock.values import Secret

_SPID = "32C2D32CD4F1C873625BBE65D973A702"
_EXAMPLE = f"""
[api_identity]
common_name = "cas"
alt_names = ["cas", "localhost", "10.0.0.1"]
country_name = "DE"
org_name = "Example GmbH"
state_or_province = "Saxony"
locality = "Dresden"
email = "info@example.com"

[ias]
spid            = "{_SPID}"
linkable_quotes = true
sp_key          = "1c8b569cffd94a85ad11342bfad5a3ad"
base_uri        = "https://api.trustedservices.intel.com/sgx/dev/attestation/v3"

[dcap]
subscription_key = "00000000000000000000000000000000"

[audit_log]
mode = "unsigned"
"""
_DOCUMENT = {
    "api_identity": {"common_name": "cas"},
    "dcap": {"subscription_key": "5ubscription"},
    "audit_log": {"mode": "disabled"},
}


def _parse(text: str, form: ConfigFormat = ConfigFormat.TOML) -> OwnerConfig:
    return OwnerConfig.parse(text, form)


def test_the_public_example_is_read() -> None:
    """Every section of it, with the older spelling of the URL's key."""
    config = _parse(_EXAMPLE)
    assert config.api_identity is not None
    assert config.api_identity.alt_names == ("cas", "localhost", "10.0.0.1")
    assert config.ias is not None
    assert config.ias.credential == Secret(b"1c8b569cffd94a85ad11342bfad5a3ad")
    assert config.ias.base_url == "https://api.trustedservices.intel.com/sgx/dev/attestation/v3"
    assert config.dcap is not None
    assert config.audit_log is not None
    assert config.audit_log.mode is Mode.UNSIGNED


def test_three_formats_say_the_same() -> None:
    """TOML, JSON and YAML; and the nested spelling of the first section."""
    toml = '[api.identity]\ncommon_name="cas"\n[dcap]\nsubscription_key="5ubscription"\n[audit_log]\nmode="disabled"'
    config = _parse(toml)
    assert config == _parse(json.dumps(_DOCUMENT), ConfigFormat.JSON)
    assert config == _parse(yaml.safe_dump(_DOCUMENT), ConfigFormat.YAML)


def test_nothing_is_mandatory() -> None:
    """An empty configuration is one, too."""
    assert _parse("") == OwnerConfig()


def test_an_identity_for_the_attestation_service() -> None:
    """It is a key with its certificate, and may be indented."""
    identity = Identity.generate("client")
    pem = "\n".join(f"    {line}" for line in identity.to_pem().reveal().decode().splitlines())
    config = _parse(f'[ias]\nspid="{_SPID}"\nlinkable_quotes=false\nidentity="""\n{pem}\n"""')
    assert config.ias is not None
    assert isinstance(config.ias.credential, Identity)
    assert config.ias.credential.key_hash == identity.key_hash


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[api_identity]\nlocality='x'", "api_identity.common_name is missing"),
        ("[api_identity]\ncommon_nam='x'", "did you mean api_identity.common_name?"),
        ("[api_identity]\ncommon_name='x'\ncountry_name='Germany'", "is two capital letters"),
        ("[api_identity]\ncommon_name='x'\nalt_names=['a b']", "is a list of DNS names"),
        ("[ias]\nspid='12'\nlinkable_quotes=true\nsp_key='k'", "ias.spid is 32 hexadecimal digits"),
        (f"[ias]\nspid='{_SPID}'\nlinkable_quotes=1\nsp_key='k'", "ias.linkable_quotes is true or false"),
        (f"[ias]\nspid='{_SPID}'\nlinkable_quotes=true", "one of them alone"),
        (f"[ias]\nspid='{_SPID}'\nlinkable_quotes=true\nsp_key='k'\nbase_url='http://x'", "is an URL https://"),
        (f"[ias]\nspid='{_SPID}'\nlinkable_quotes=true\nidentity='5ecret'", "is a PEM private key"),
        ("[dcap]\nsubscription_key=''", "dcap.subscription_key is"),
        ("[audit_log]\nmode='loud'", "audit_log.mode is"),
        ("[audit-log]\nmode='signed'", "did you mean audit_log?"),
        ("dcap=1", "dcap is a section"),
        ("[api]\nlisten='x'", "only api.identity"),
    ],
)
def test_slips_are_named(text: str, told: str) -> None:
    """Key, rule, and the nearest key that exists."""
    with pytest.raises(InputError) as caught:
        _parse(text)
    assert any(told in reason for reason in caught.value.reasons), caught.value.reasons


def test_all_slips_are_told_at_once_without_credentials() -> None:
    """Nobody mends a file line by line, and no credential gets into an error."""
    with pytest.raises(InputError) as caught:
        _parse(
            "[ias]\nspid='5ecret'\nlinkable_quotes='5ecret'\nsp_key=['5ecret']\n[dcap]\nsubscription_key=['5ecret']"
        )
    assert len(caught.value.reasons) == 5
    assert "5ecret" not in repr(caught.value.reasons) + str(caught.value)


@pytest.mark.parametrize(
    ("text", "form", "place"),
    [
        ("[dcap\nk='5ecret'", ConfigFormat.TOML, "at line 1"),
        ('{"dcap": {"subscription_key": 5ecret}}', ConfigFormat.JSON, "at line 1 column"),
        ("dcap: {a: '5ecret'", ConfigFormat.YAML, "at line 1 column"),
        ("- 5ecret", ConfigFormat.YAML, "found none"),
    ],
)
def test_what_cannot_be_parsed_is_not_repeated(text: str, form: ConfigFormat, place: str) -> None:
    """The place is told, the text is not."""
    with pytest.raises(InputError, match=place) as caught:
        _parse(text, form)
    assert "5ecret" not in str(caught.value)


@given(st.sampled_from(ConfigFormat), st.text())
def test_arbitrary_text_is_refused_in_our_words(form: ConfigFormat, text: str) -> None:
    """Whatever is sent is a configuration or an error of ours."""
    with contextlib.suppress(InputError):
        assert isinstance(_parse(text, form), OwnerConfig)
