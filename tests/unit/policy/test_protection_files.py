"""Main protection files and update policies: what the language accepts, refuses and makes of them."""

from __future__ import annotations

from typing import Final

import pytest

from bannock.policy import MainFspf, UpdatePolicy, generate_secrets, parse_session, service_configuration
from bannock.policy.session import ExplicitKey, SecretKey, ServiceFspf
from bannock.values import FspfKey, FspfTag
from tests.unit.policy.documents import (
    KEY,
    NOW,
    OTHER_TAG,
    TAG,
    TEMPLATE,
    VARIABLES,
    issues_of,
    only_issue,
    parse,
    session_text,
)

_KEY: Final = FspfKey.from_hex(KEY)
_TAG: Final = FspfTag.from_hex(TAG)
_NEWER: Final = FspfTag.from_hex(OTHER_TAG)
_WHOLE: Final = f"fspf_path: /main.fspf\nfspf_key: {KEY}\nfspf_tag: {TAG}"
_UNPROTECTED: Final = f"fspf_path: /main.fspf\nfspf_key: {KEY}\nfspf_update_policy: no_rollback_protection"
_SECRET: Final = f"secrets: [{{name: k, kind: binary, value: {KEY}}}]"


@pytest.mark.parametrize(
    ("service", "rest", "expected"),
    [
        (_WHOLE, "", ServiceFspf(path="/main.fspf", key=ExplicitKey(key=_KEY, tag=_TAG))),
        (
            f"{_WHOLE}\nfspf_update_policy: rollback_protected_reinitializable",
            "",
            ServiceFspf(
                path="/main.fspf",
                key=ExplicitKey(key=_KEY, tag=_TAG),
                update_policy=UpdatePolicy.REINITIALIZABLE,
            ),
        ),
        (
            f"fspf_path: /a/b.fspf\nfspf_key: $$SCONE::k$$\nfspf_tag: {TAG.upper()}",
            _SECRET,
            ServiceFspf(path="/a/b.fspf", key=SecretKey(secret_name="k", tag=_TAG)),
        ),
        (
            _UNPROTECTED,
            "",
            ServiceFspf(
                path="/main.fspf",
                key=ExplicitKey(key=_KEY, tag=None),
                update_policy=UpdatePolicy.NO_ROLLBACK_PROTECTION,
            ),
        ),
        (
            f"{_UNPROTECTED}\nfspf_tag: {TAG}",
            "",
            ServiceFspf(
                path="/main.fspf",
                key=ExplicitKey(key=_KEY, tag=_TAG),
                update_policy=UpdatePolicy.NO_ROLLBACK_PROTECTION,
            ),
        ),
        ("", "", None),
    ],
    ids=["whole", "default written out", "secret", "without tag", "tag that is not needed", "none"],
)
def test_the_main_protection_file_of_a_service(service: str, rest: str, expected: ServiceFspf | None) -> None:
    """Path, key and first state; the state may be left out where any is accepted."""
    assert parse(service=service, rest=rest).services[0].fspf == expected


@pytest.mark.parametrize("version", ["0.2", "0.3", "0.3.4", "0.3.11"])
def test_versions_of_before_have_them_too(version: str) -> None:
    """Keys of later versions are known in all of them, as all keys are."""
    image = "images: [{name: i, volumes: [{name: v, path: /v, update_policy: ephemeral}]}]\nvolumes: [{name: v}]"
    text = session_text(service=_UNPROTECTED, rest=image).replace('version: "0.3"', f'version: "{version}"')
    session = parse_session(text)
    assert session.version == version
    assert session.services[0].fspf is not None


@pytest.mark.parametrize(
    ("written", "policy"),
    [
        ("", UpdatePolicy.ROLLBACK_PROTECTED),
        ("rollback_protected", UpdatePolicy.ROLLBACK_PROTECTED),
        ("ephemeral", UpdatePolicy.EPHEMERAL),
        ("no_rollback_protection", UpdatePolicy.NO_ROLLBACK_PROTECTION),
    ],
)
def test_update_policies_of_volumes(written: str, policy: UpdatePolicy) -> None:
    """Each image says of each volume what becomes of its changes; who says nothing is protected."""
    key = f", update_policy: {written}" if written else ""
    session = parse(rest=f"images: [{{name: i, volumes: [{{name: v, path: /v{key}}}]}}]\nvolumes: [{{name: v}}]")
    assert [volume.update_policy for volume in session.images[0].volumes] == [policy]


_FROM_ENCRYPT: Final = "scone fspf encrypt prints key and tag of a protection file"


@pytest.mark.parametrize(
    ("service", "place", "message", "hint"),
    [
        ("fspf_path: /a", "fspf_path", "expected fspf_key and fspf_tag beside fspf_path", _FROM_ENCRYPT),
        (
            f"fspf_path: /a\nfspf_key: {KEY}",
            "fspf_path",
            "expected fspf_tag beside fspf_path",
            _FROM_ENCRYPT,
        ),
        (f"fspf_key: {KEY}\nfspf_tag: {TAG}", "fspf_key", "expected fspf_path beside fspf_key", None),
        (f"fspf_tag: {TAG}", "fspf_tag", "expected fspf_path and fspf_key beside fspf_tag", _FROM_ENCRYPT),
        (
            "fspf_update_policy: no_rollback_protection",
            "fspf_update_policy",
            "expected fspf_path and fspf_key beside fspf_update_policy",
            _FROM_ENCRYPT,
        ),
        (
            f"fspf_path: /a\nfspf_key: {KEY}\nfspf_update_policy: rollback_protected_reinitializable",
            "fspf_path",
            "expected fspf_tag beside fspf_path",
            _FROM_ENCRYPT,
        ),
        (
            f"fspf_path: /a\nfspf_key: {KEY}\nfspf_update_policy: rollback_protected",
            "fspf_update_policy",
            (
                "expected one of rollback_protected_reinitializable, no_rollback_protection, ephemeral, "
                "found 'rollback_protected'"
            ),
            "did you mean rollback_protected_reinitializable?",
        ),
        (
            f"fspf_path: /a\nfspf_key: {KEY}\nfspf_update_policy: ephemeral",
            "fspf_path",
            "expected fspf_tag beside fspf_path",
            _FROM_ENCRYPT,
        ),
        (
            f"fspf_path: main.fspf\nfspf_key: {KEY}\nfspf_tag: {TAG}",
            "fspf_path",
            "expected an absolute path",
            None,
        ),
        (f"fspf_path: /\nfspf_key: {KEY}\nfspf_tag: {TAG}", "fspf_path", "expected a path below /", None),
        (f"fspf_path: /a\nfspf_key: {KEY}0\nfspf_tag: {TAG}", "fspf_key", "expected 64 hexadecimal digits", None),
        (f"fspf_path: /a\nfspf_key: {KEY}\nfspf_tag: {KEY}", "fspf_tag", "expected 32 hexadecimal digits", None),
        (
            f"fspf_path: /a\nfspf_key: $$SCONE::kk$$\nfspf_tag: {TAG}",
            "fspf_key",
            "no secret is named 'kk'",
            "did you mean k?",
        ),
        (
            f"fspf_path: /a\nfspf_key: $$SCONE::k:hex$$\nfspf_tag: {TAG}",
            "fspf_key",
            "expected a secret of kind binary and size 32, without a format",
            None,
        ),
        (
            f"fspf_path: /a\nfspf_key: $$SCONE::short$$\nfspf_tag: {TAG}",
            "fspf_key",
            "expected a secret of kind binary and size 32, without a format",
            None,
        ),
    ],
)
def test_each_defect_of_a_main_protection_file_is_named(
    service: str, place: str, message: str, hint: str | None
) -> None:
    """What is missing, malformed or in no need of being there is told at its key, and keys are not repeated."""
    secrets = f"secrets: [{{name: k, kind: binary, value: {KEY}}}, {{name: short, kind: binary, size: 31}}]"
    text = session_text(service=service, rest=secrets)
    issue = only_issue(text)
    assert (issue.path, issue.hint) == (f"services[0].{place}", hint)
    assert message in issue.message
    assert text.splitlines()[issue.line - 1].strip().startswith(f"{place}:")
    assert KEY not in str(issue)


@pytest.mark.parametrize("policy", ["rollback_protected_reinitializable", "no_rollback", "", "[ephemeral]"])
def test_other_policies_of_volumes_are_refused(policy: str) -> None:
    """A volume has no first state to go back to, and a word that is not known says nothing."""
    volumes = f"[{{name: v, path: /v, update_policy: {policy}}}]"
    issue = only_issue(session_text(rest=f"images: [{{name: i, volumes: {volumes}}}]\nvolumes: [{{name: v}}]"))
    assert issue.path == "images[0].volumes[0].update_policy"
    assert "expected one of rollback_protected, ephemeral, no_rollback_protection, found" in issue.message


def test_all_their_issues_come_at_once() -> None:
    """What is wrong with one key hides nothing of what is wrong with others, of the service too."""
    service = "fspf_path: a\nfspf_tag: x\nfspf_update_policy: never\npwd: b"
    rest = "images: [{name: i, volumes: [{name: v, path: /v, update_policy: x}]}]"
    assert [issue.path for issue in issues_of(session_text(service=service, rest=rest))] == [
        "services[0].fspf_path",
        "services[0].fspf_path",
        "services[0].fspf_tag",
        "services[0].fspf_update_policy",
        "services[0].pwd",
        "images[0].volumes[0].name",
        "images[0].volumes[0].update_policy",
    ]


def test_their_keys_stay_out_of_repr() -> None:
    """A session can be logged."""
    assert KEY not in repr(parse(service=_WHOLE))


def _resolved(service: str, rest: str = "", confirmed: FspfTag | None = None) -> MainFspf | None:
    session = parse(service=service, rest=rest)
    secrets = generate_secrets(session, None, lambda size: b"r" * size, now=NOW)
    return service_configuration(session, "main", secrets, {}, confirmed).fspf


def test_the_first_state_and_the_last_one_are_accepted() -> None:
    """By default a service starts in the state that was confirmed last, or from the first one again."""
    main = MainFspf(path="/main.fspf", key=_KEY, tags=(_TAG,), update_policy=UpdatePolicy.REINITIALIZABLE)
    assert _resolved(_WHOLE) == main
    assert _resolved(_WHOLE, confirmed=_TAG) == main
    assert _resolved(_WHOLE, confirmed=_NEWER) == MainFspf(path="/main.fspf", key=_KEY, tags=(_NEWER, _TAG))


def test_without_rollback_protection_no_state_is_named() -> None:
    """Whatever is authentic is accepted, whatever is known of it."""
    main = MainFspf(path="/main.fspf", key=_KEY, tags=(), update_policy=UpdatePolicy.NO_ROLLBACK_PROTECTION)
    for service in (_UNPROTECTED, f"{_UNPROTECTED}\nfspf_tag: {TAG}"):
        for confirmed in (None, _TAG, _NEWER):
            assert _resolved(service, confirmed=confirmed) == main


def test_a_secret_as_key_of_a_main_protection_file() -> None:
    """The value of the binary secret opens it, and a service without one gets none."""
    main = _resolved(f"fspf_path: /main.fspf\nfspf_key: $$SCONE::k$$\nfspf_tag: {TAG}", _SECRET)
    assert main == MainFspf(path="/main.fspf", key=_KEY, tags=(_TAG,))
    assert _resolved("") is None


def test_a_service_gets_the_update_policy_of_each_volume() -> None:
    """It is the image's, and beside it the state that is known."""
    text = TEMPLATE.replace("path: /encryptedInputs", "path: /in\n        update_policy: ephemeral")
    text = text.replace("path: /encryptedOutputs", "path: /out\n        update_policy: no_rollback_protection")
    session = parse_session(text, variables=VARIABLES)
    secrets = generate_secrets(session, None, lambda size: b"r" * size, now=NOW)
    configuration = service_configuration(session, "copy_demo", secrets, {"encrypted-output-files": _NEWER})
    assert [(volume.update_policy, volume.tag) for volume in configuration.volumes] == [
        (UpdatePolicy.EPHEMERAL, _TAG),
        (UpdatePolicy.NO_ROLLBACK_PROTECTION, _NEWER),
    ]
