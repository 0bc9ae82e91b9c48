"""From a mesh to its sessions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from bannock.errors import InputError
from bannock.mesh.ledger import Ledger
from bannock.mesh.policies import PolicyKind, policies_of, void_policy
from bannock.mesh.removed import removed_policies
from bannock.policy.parse import parse_session
from bannock.values import KeyHash
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
    """The release comes from the command line, the mesh, or the namespace."""
    assert terms(release="r").shared == "my/app/r"
    assert terms(MANIFEST.replace("RELEASE", "OTHER")).release == "app"
    assert terms(namespace="n").session("s") == "n/pythonapp/s"


_LEFT = MANIFEST.replace('  tolerate: "outdated-tcb, hyperthreading"\n  ignore_advisories: "*"\n', "")
_ELSEWHERE = f"  - {{name: attestation, cas_url: 'central:9', cas_key: {KeyHash(bytes(32))}}}\n"


def _left(*lines: str, cas: str = "") -> str:
    """Return a mesh that leaves parts of its policies to others."""
    text = "".join(f"  {line}\n" for line in lines)
    return _LEFT.replace("policy:\n", f"{cas}policy:\n").replace(
        "  namespace: my/app\n", f"  namespace: my/app\n{text}"
    )


def test_parts_that_others_have() -> None:
    """Access for all sessions, attestation for those that start something; the CAS puts them in."""
    text = _left("access_policy_name: central/access", "attestation_policy_name: central/trust", cas=_ELSEWHERE)
    *_, shared, own = policies_of([service()], terms(text))
    for policy in (shared, own):
        document: Any = parse_session(policy.text, variables=None).document
        assert document["access_policy"] == {
            "read": ["$$SCONE::mesh_access_read$$"], "update": ["$$SCONE::mesh_access_update$$"],
        }  # fmt: skip
        imports = {each["name"]: each["import"] for each in document["secrets"] if each["name"].startswith("mesh")}
        assert imports["mesh_access_read"] == {"session": "central/access", "secret": "access_read"}
    assert document["security"] == {"attestation": "$$SCONE::mesh_attestation$$"}
    assert imports["mesh_attestation"] == {
        "session": "central/trust",
        "secret": "attestation",
        "cas_url": "central:9",
        "cas_key": str(KeyHash(bytes(32))),
    }
    whole: Any = parse_session(
        policies_of([service()], terms(_left("security_policy_name: central/all")))[-1].text, variables=None
    ).document
    assert whole["security"] == "$$SCONE::mesh_security$$"


@pytest.mark.parametrize(
    ("lines", "cas", "told"),
    [
        (("attestation_policy_name: a", "tolerate: hyperthreading"), "", "and policy.tolerate says it, too"),
        (("attestation_policy_name: a", "security_policy_name: b"), "", "and policy.security_policy_name says it"),
        (("attestation_policy_name: a",), "  - {name: attestation, cas_url: c}\n", "needs cas_key"),
    ],
)
def test_one_alone_decides_on_attestation(lines: tuple[str, ...], cas: str, told: str) -> None:
    """The mesh, or a session, of a CAS that is known."""
    with pytest.raises(InputError, match=told):
        terms(_left(*lines, cas=cas))


def test_a_policy_of_the_mesh_takes_the_place_of_what_was_made() -> None:
    """Part by part: variables, a rule of attestation, a further service; the rest is that of the image."""
    given = {
        "services": [
            {"environment": {"API_USER": "{{API_USER}}-2", "A": "1"}, "attestation": {"mrenclave": "{{mrenclave}}"}},
            {"name": "second", "command": "x", "image_name": "image", "attestation": [{"mrenclave": SECOND}]},
        ],
        "secrets": [{"name": "password", "kind": "ascii", "value": "given"}],
        "access_policy": {"read": ["ANY"]},
    }  # fmt: skip
    document: Any = _sessions(service(policy=given))["my/app/pythonapp/pythonservice"].document
    first, second = document["services"]
    assert (first["environment"]["API_USER"], first["environment"]["A"]) == ("myself-2", "1")
    assert (first["environment"]["PATH"], first["command"]) == ("/usr/bin", ["/usr/local/bin/python3", "print_env.py"])
    assert (first["attestation"], second["name"]) == ({"mrenclave": FIRST}, "second")
    assert document["secrets"] == [{"name": "password", "kind": "ascii", "value": "given"}]
    assert document["access_policy"] == {"read": ["ANY"]}
    for wrong, told in (
        ({"name": "other"}, "is called 'other', expected my/app/pythonapp/pythonservice"),
        ({"services": {}}, "services is a list of mappings"),
        ({"services": [{"command": "{{NONE}}"}]}, "NONE"),
    ):
        with pytest.raises(InputError, match=told):
            _sessions(service(policy=wrong))


def test_further_policies() -> None:
    """They come after those that they may be in; one may be that of a namespace, and none that of a service."""
    extra = ({"name": "my", "version": "0.3.11", "access_policy": {"read": ["ANY"]}}, {"name": "my/extra"})
    policies = policies_of([service()], terms(), extra)
    assert [(policy.name, policy.kind) for policy in policies][:2] == [
        ("my", PolicyKind.EXTRA), ("my/app", PolicyKind.NAMESPACE),
    ]  # fmt: skip
    assert (policies[-1].name, policies[-1].kind) == ("my/extra", PolicyKind.EXTRA)
    for wrong, told in (({"name": "my/app/pythonapp"}, "called my/app/pythonapp"), ({}, "has no name")):
        with pytest.raises(InputError, match=told):
            policies_of([service()], terms(), [wrong])


def test_removed_services() -> None:
    """What was made for a service that is no more becomes void, once where the CAS is asked; others stay."""
    ledger = Ledger()
    for policy in policies_of([service(), service(name="old")], terms()):
        ledger.number(policy)
    ledger.number(void_policy("my/app/other/old"))
    now = policies_of([service()], terms())
    (void,) = removed_policies(ledger, now, terms(), by_others=False)
    assert (void.name, void.kind) == ("my/app/pythonapp/old", PolicyKind.VOID)
    assert parse_session(void.text, variables=None).services == ()
    ledger.number(void)
    assert removed_policies(ledger, now, terms(), by_others=False) == []
    assert [policy.name for policy in removed_policies(ledger, now, terms(), by_others=True)] == [void.name]
