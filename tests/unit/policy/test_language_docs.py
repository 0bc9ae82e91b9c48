"""The reference of the session language says what the parser does."""

from __future__ import annotations

import hashlib
import json
import re
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from bannock.policy import _wire as wire
from bannock.policy import _wire_credentials as credentials
from bannock.policy import _wire_machines as machines
from bannock.policy import _wire_references as references
from bannock.policy import _wire_secrets as secrets
from bannock.policy import parse_session, session_hash
from bannock.policy.session import Toleration
from bannock.policy.template import FORMATS, SecretKind
from tests.unit.policy.documents import KEY, MEASUREMENT, OTHER_MEASUREMENT, SIGNER
from tests.unit.policy.test_language_of_access import SIGNERS

if TYPE_CHECKING:
    from bannock.policy._wire_base import Model

_TEXT: Final = (Path(__file__).parents[3] / "docs" / "session-language.md").read_text(encoding="utf-8")
BLOCKS: Final = re.findall(r"```yaml\n(.*?)```", _TEXT, re.DOTALL)
_HASH_ROW: Final = re.compile(
    r"^\| `(?P<document>\{.*?\})` \| `(?P<json>\{.*?\})` \| `(?P<hash>[0-9a-f]{64})` \|$", re.MULTILINE
)

VARIABLES: Final = {
    "MRENCLAVE": MEASUREMENT,
    "OTHER_MRENCLAVE": OTHER_MEASUREMENT,
    "MRSIGNER_HASH": SIGNER,
    "PLATFORM_KEY": KEY,
    "SERVER_HASH": MEASUREMENT,
    "APPLICATION_SECRET": "secret",
    **dict.fromkeys(("MRTD", "RTMR1", "RTMR2", "OTHER_RTMR2", "LAUNCH_MEASUREMENT"), "ab" * 48),
    **dict.fromkeys(("PCR4", "PCR7", "PCR11", "OTHER_PCR11"), "cd" * 32),
    "OTHER_CAS": "cas.example.com/cas_key=3s1pm8W6Be6cxvAQRbRP5YXd9YuERAr7KswN97uGtoPkRW87x1",
    **dict(zip(("OWNER", "VOTER1", "VOTER2", "VOTER3", "VETO"), SIGNERS, strict=True)),
}

#: The section in which every key of a model is explained.
_SECTIONS: Final[tuple[tuple[str, type[Model]], ...]] = (
    ("## The document", wire.SessionWire),
    ("## Services", wire.ServiceWire),
    ("### Showing others what a service is", credentials.TokenFileWire),
    ("### Showing others what a service is", credentials.RaTlsWire),
    ("### Attestation", wire.VariantWire),
    ("### Attestation", wire.SignerWire),
    ("## Secrets", secrets.AsciiSecretWire),
    ("## Secrets", secrets.PrivateKeyWire),
    ("## Secrets", secrets.CertificateWire),
    ("## Secrets", secrets.AadTokenWire),
    ("## Secrets", secrets.FragmentWire),
    ("## Secrets", secrets.ImportedSecretWire),
    ("## Secrets", secrets.VaultSecretWire),
    ("## Secrets", secrets.VaultWire),
    ("### Sharing", references.SecretImportWire),
    ("### Sharing", references.SecretExportWire),
    ("### Sharing", references.VolumeImportWire),
    ("## Volumes", wire.VolumeWire),
    ("## Volumes", references.VolumeExportWire),
    ("## Images", wire.ImageWire),
    ("## Images", wire.ImageVolumeWire),
    ("## Images", wire.ImageFileWire),
    ("## Security", wire.SecurityWire),
    ("## Security", wire.AttestationSecurityWire),
    ("### Machines", machines.MachineWire),
    ("### Machines", machines.TdxWire),
    ("### Machines", machines.SnpWire),
    ("### Machines", machines.TpmWire),
    ("## Version 0.1", wire.PartExportWire),
)


def _section(heading: str) -> str:
    start = _TEXT.index(f"\n{heading}\n")
    end = re.search(r"\n##", _TEXT[start + len(heading) + 2 :])
    return _TEXT[start : start + len(heading) + 2 + end.start()] if end else _TEXT[start:]


@pytest.mark.parametrize("block", BLOCKS)
def test_every_example_is_a_session(block: str) -> None:
    """And one without warnings, as the newest version has none for it."""
    text = block if block.startswith("name:") else f'name: example\nversion: "0.3.11"\n{block}'
    session = parse_session(text, variables=VARIABLES)
    assert session.version == "0.1" or session.warnings == ()


@pytest.mark.parametrize(
    ("heading", "model"), [*_SECTIONS, ("### Machines", machines.MinimumTcbWire), ("### Machines", machines.PcrsWire)]
)
def test_every_key_is_explained(heading: str, model: type[Model]) -> None:
    """No key of the parser is missing from the table of its section."""
    named = set(re.findall(r"`([a-z0-9_-]+)`", _section(heading)))
    assert set(model.wire_keys()) <= named


def test_every_toleration_is_explained() -> None:
    """In a row of the table: where it occurs, what it means, and the risk."""
    rows = re.findall(r"^\| `([a-z-]+)`", _section("### Weaknesses"), re.MULTILINE)
    assert sorted(rows[1:]) == sorted(Toleration)


def test_no_key_is_made_up() -> None:
    """What the first column of a table of keys names, the models of its section have."""
    known: dict[str, set[str]] = defaultdict(set)
    for heading, model in _SECTIONS:
        known[heading] |= set(model.wire_keys())
    for heading, keys in known.items():
        for table in re.findall(r"\| key \|.*\n\|[-|]*\n((?:\|.*\n)+)", _section(heading)):
            first = {name for row in table.splitlines() for name in re.findall(r"`([^`]*)`", row.split("|")[1])}
            assert first <= keys


@pytest.mark.parametrize("kind", list(SecretKind))
def test_every_format_is_listed(kind: SecretKind) -> None:
    """Those of the kind, and no other."""
    table = [row.split("|") for row in _section("### Placeholders").splitlines() if row.startswith("| ")]
    rows = [row[2] for row in table if f"`{kind}`" in row[1]]
    assert len(rows) == 1
    listed = set(re.findall(r"`:([^`]*)`", rows[0])) | ({""} if "(none)" in rows[0] else set())
    assert listed == {name for name in FORMATS[kind] if not name.startswith(".")}


_VECTORS: Final = list(_HASH_ROW.finditer(_section("## The session hash")))


@pytest.mark.parametrize("vector", _VECTORS, ids=lambda vector: vector["hash"][:8])
def test_hash_vectors(vector: re.Match[str]) -> None:
    """Each holds, by the standard library's JSON alone: for text in the basic plane its order is the canonical one."""
    canonical = json.dumps(json.loads(vector["json"]), sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    assert canonical == vector["json"]
    assert hashlib.sha256(canonical.encode("utf-8")).hexdigest() == vector["hash"]
    assert session_hash(parse_session(vector["document"])) == vector["hash"]


def test_there_are_hash_vectors() -> None:
    """The pattern that finds them finds them."""
    assert len(_VECTORS) == 6
