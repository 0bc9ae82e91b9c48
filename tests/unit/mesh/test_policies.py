"""From a mesh to its sessions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from bannock.errors import InputError
from bannock.mesh.policies import PolicyKind, policies_of
from bannock.policy.parse import parse_session
from tests.unit.mesh.meshed import FIRST, MANIFEST, SECOND, facts, service, terms

if TYPE_CHECKING:
    from bannock.policy.session import Session


def _sessions(*services: Any, **others: Any) -> dict[str, Session]:
    policies = policies_of(services, terms(**others))
    sessions = {policy.name: parse_session(policy.text, variables=None) for policy in policies}
    assert [policy.digest for policy in policies] == [session.digest for session in sessions.values()]
    return sessions


def test_the_tutorials_mesh() -> None:
    """Namespaces, the secrets, the service: in the order that a CAS takes them, each in the namespace of the other."""
    policies = policies_of([service()], terms())
    assert [(policy.name, policy.kind) for policy in policies] == [
        ("my", PolicyKind.NAMESPACE),
        ("my/app", PolicyKind.NAMESPACE),
        ("my/app/pythonapp", PolicyKind.SHARED),
        ("my/app/pythonapp/pythonservice", PolicyKind.SERVICE),
    ]
    assert policies[-1].config_id == "my/app/pythonapp/pythonservice/python3"
    document: Any = parse_session(policies[-1].text, variables=None).document
    (started,) = document["services"]
    assert started["environment"] == {
        "PATH": "/usr/bin", "API_PASSWORD": "$$SCONE::password$$", "EXCLAIM": "!#what!$#", "API_USER": "myself",
    }  # fmt: skip
    assert started["command"] == ["/usr/local/bin/python3", "print_env.py"]
    assert started["pwd"] == "/python"
    assert started["attestation"] == [{"mrenclave": [FIRST]}]
    assert document["security"]["attestation"] == {
        "tolerate": ["outdated-tcb", "hyperthreading"], "ignore_advisories": "*",
    }  # fmt: skip


def test_a_secret_is_exported_to_who_uses_it_and_to_nobody_else() -> None:
    """Two services share one, a third gets nothing; what the manifest itself exports stays exported."""
    export = [{"namespace": "{{namespace}}"}]
    own = ({"name": "password", "kind": "ascii", "export": export}, {"name": "own", "kind": "binary"})
    sessions = _sessions(
        service(secrets=own),
        service(name="reader", facts=facts(secrets=(), imports=("password",))),
        service(name="other", facts=facts(secrets=(), local={})),
    )
    shared: Any = sessions["my/app/pythonapp"].document
    password, alone = shared["secrets"]
    assert password["export"] == [
        {"namespace": "my/app"},
        {"session": "my/app/pythonapp/pythonservice"},
        {"session": "my/app/pythonapp/reader"},
    ]
    assert alone["export"] == [{"session": "my/app/pythonapp/pythonservice"}]
    reader: Any = sessions["my/app/pythonapp/reader"].document
    assert reader["secrets"] == [{"name": "password", "import": {"session": "my/app/pythonapp", "secret": "password"}}]
    assert sessions["my/app/pythonapp/other"].secrets == ()


def test_both_versions_are_accepted_while_an_update_rolls() -> None:
    """The new one is the first."""
    (attestation,) = (
        _sessions(service(measurements=(SECOND, FIRST)))["my/app/pythonapp/pythonservice"].services[0].attestation
    )
    assert [str(each) for each in getattr(attestation, "measurements")] == [SECOND, FIRST]  # noqa: B009 - a union


def test_files_volumes_and_values() -> None:
    """What the image says of them, with values of the mesh put in."""
    described = facts(
        injection_files=({"path": "/etc/user", "content": "{{API_USER}} $$SCONE::password$$\n"},),
        volumes=(
            {
                "name": "db",
                "path": "/db",
                "export": [{"session": "{{namespace}}/x", "update_policy": "ephemeral"}],
            },
            {"name": "in", "path": "/in", "import": {"session": "elsewhere", "volume": "out"}},
        ),
    )
    session = _sessions(service(facts=described))["my/app/pythonapp/pythonservice"]
    document: Any = session.document
    assert document["images"][0]["injection_files"] == [
        {"path": "/etc/user", "content": "myself $$SCONE::password$$\n"}
    ]
    assert document["images"][0]["volumes"] == [{"name": "db", "path": "/db"}, {"name": "in", "path": "/in"}]
    assert document["volumes"] == [
        {"name": "db", "export": [{"to": {"session": "my/app/x"}, "update_policy": "ephemeral"}]},
        {"name": "in", "import": {"session": "elsewhere", "volume": "out"}},
    ]


def test_debug_and_azure() -> None:
    """A mesh for trying out accepts debuggers and simulation; Azure's service needs its own word."""
    document: Any = _sessions(service(), debug=True, maa="https://t.weu.attest.azure.net")[
        "my/app/pythonapp/pythonservice"
    ].document
    security = document["security"]["attestation"]
    assert security["mode"] == "maa"
    assert {"debug-mode", "simulation", "maa-managed-tcb"} <= set(security["tolerate"])


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"facts": facts(global_={"API_USER": None, "HOST": None, "PORT": None})}, "needs values of HOST, PORT"),
        ({"facts": facts(local={"TOKEN": None})}, "needs values of TOKEN"),
        ({"facts": facts(withheld=("password",))}, "values of the secrets password are not in the image"),
        ({"facts": facts(imports=("passwrd",))}, "imports the secret passwrd, which no service of the mesh defines"),
        ({"facts": facts(local={"PLACE": "{{HOST}}"})}, "asks for the value {{HOST}}"),
        ({"secrets": ({"name": "other", "kind": "ascii"},)}, "the policy my/app/pythonapp/pythonservice"),
    ],
)
def test_what_is_missing_is_named(changed: dict[str, Any], told: str) -> None:
    """Before anything is uploaded."""
    with pytest.raises(InputError) as caught:
        policies_of([service(**changed)], terms())
    assert told in str(caught.value)


def test_one_secret_cannot_be_two() -> None:
    """Two services may define the same one, and not two of one name."""
    policies_of([service(), service(name="again")], terms())
    other = service(name="again", secrets=({"name": "password", "kind": "ascii", "size": "11"},))
    with pytest.raises(InputError, match="the services pythonservice and again define the secret password"):
        policies_of([service(), other], terms())


def test_names() -> None:
    """The release comes from the command line, the mesh, or the namespace; parts of other policies are refused."""
    assert terms(release="r").shared == "my/app/r"
    assert terms(MANIFEST.replace("RELEASE", "OTHER")).release == "app"
    assert terms(namespace="n").session("s") == "n/pythonapp/s"
    with pytest.raises(InputError, match="access_policy_name"):
        terms(MANIFEST.replace("  tolerate:", "  access_policy_name: x\n  tolerate:"))
