"""``scone cas forecast``, ``scone cas collateral`` and ``bannock cas forecast`` with a real CAS."""

from __future__ import annotations

import datetime as dt
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from bannock.cli import bannock
from bannock.cli.forecast_text import forecast_lines
from bannock.errors import DeniedError, InputError
from bannock.evidence.attester import KeyAttester, key_binding
from bannock.evidence.collateral.bundle import open_bundle, sign_bundle
from bannock.evidence.endorsements import Endorsements
from bannock.evidence.quotes import TdxQuote
from bannock.evidence.rehearsal.intel import IntelVendor
from bannock.net.tls import Identity
from bannock.values import KeyHash
from tests.integration.cas.enclaves import enclave
from tests.integration.cas.forecast_site import SESSION
from tests.unit.cas.documents import MEASUREMENT
from tests.unit.evidence.collateral.conftest import EVIDENCE

if TYPE_CHECKING:
    from bannock.cas import EmbeddedCas
    from tests.integration.cli.conftest import Scone

_GENUINE = Endorsements(
    certificates=((EVIDENCE / "snp" / "milan-v2.vcek.der").read_bytes(),),
)


@pytest.fixture
def owned(scone: Scone, cas: EmbeddedCas) -> EmbeddedCas:
    """A CAS that belongs to the identity of the command, and has let in one service on a machine that is rehearsed."""
    token = cas.cas.owner.token
    assert token is not None
    Path("config.toml").write_text("")
    scone.done(
        *("cas", "provision", f"localhost:{cas.client_address.port}", "-c", str(cas.key_hash)),
        *("--config-file", "config.toml", "--token", token, "with-attestation", "-GCS", "--only_for_testing-debug"),
    )
    vendor = IntelVendor(os.urandom, dt.datetime.now(dt.UTC))

    def quote(public: bytes) -> tuple[TdxQuote, bytes]:
        made = vendor.tdx_quote(key_binding(public), {"mrtd": "ab" * 48})
        return TdxQuote(key=public, quote=made), vendor.endorsements().to_json()

    rules = f"machines: [{{tdx: {{mrtd: {'ab' * 48}}}}}]"
    attestation = f"{{tolerate: [simulation], {rules}}}"
    cas.cas.sessions.post(
        SESSION.format(name="demo", measurement=MEASUREMENT, attestation=attestation), KeyHash(bytes(32))
    )
    with enclave(cas.enclave_address, cas.key_hash) as app:
        app.attester = KeyAttester(Ed25519PrivateKey.generate(), quote)
        app.attest()
    return cas


def test_the_forecast_is_told(scone: Scone, owned: EmbeddedCas) -> None:
    """As text and as JSON, by the owner's command and on the machine of the CAS."""
    text = scone.done("cas", "forecast")
    assert "demo / app  (sim (rehearses tdx), machine " in text
    assert "nextUpdate" in text
    assert scone.done("cas", "forecast", "--days", "7").startswith(
        "No service is known to stop attesting within 7 days"
    )
    (outlook,) = json.loads(scone.done("cas", "forecast", "--json"))["outlooks"]
    assert (outlook["session"], outlook["stopped"]) == ("demo", False)
    assert scone("cas", "forecast", "--days", "soon").code == InputError.exit_code
    assert owned


def test_the_forecast_on_the_machine_of_the_cas(
    owned: EmbeddedCas, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It reads the database beside the CAS that runs; where there is none, it makes none."""
    config = tmp_path / "cas.toml"
    directory = tmp_path / "cas"
    config.write_text(f'database = "{directory}/cas.db"\nmaster_key = "{directory}/master.key"\n')
    conf = ("--conf", str(tmp_path / "conf"))
    capsys.readouterr()
    assert bannock.main(["cas", "forecast", "--config", str(config), *conf, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["outlooks"][0]["session"] == "demo"
    assert bannock.main(["cas", "forecast", "--config", str(config), *conf, "--days", "1"]) == 0
    assert "No service is known" in capsys.readouterr().out
    config.write_text(f'database = "{tmp_path}/none/cas.db"\n')
    assert bannock.main(["cas", "forecast", "--config", str(config), *conf]) == InputError.exit_code
    assert not (tmp_path / "none").exists()
    assert owned


def test_a_bundle_goes_out_and_comes_in(scone: Scone, owned: EmbeddedCas) -> None:
    """It is signed by the CAS, and taken by whoever trusts the vendors; a stranger's can be told apart."""
    told = scone.done("cas", "collateral", "export", "--refresh", "bundle.jws")
    assert told.endswith(f"signed by CAS {owned.key_hash}\n")
    assert open_bundle(Path("bundle.jws").read_text()).cas == owned.key_hash
    other = Identity.generate("other CAS")
    Path("other.jws").write_text(sign_bundle(other, _GENUINE, dt.datetime.now(dt.UTC)))
    assert scone("cas", "collateral", "import", "--signed-by", str(owned.key_hash), "other.jws").code != 0
    answer = scone("cas", "collateral", "import", "other.jws")
    assert answer.code == 0, answer.err
    assert answer.out.startswith("kept amd/SEV-VCEK-c38427a30d4c7af9-")
    assert str(other.key_hash) in answer.err
    assert scone.done("cas", "collateral", "import", "other.jws") == "nothing of it is newer than what there is\n"


def test_files_of_vendors_are_taken(scone: Scone, owned: EmbeddedCas) -> None:
    """A directory, or a file; what no vendor vouches for, or has ended, is told and not kept."""
    Path("from-amd").mkdir()
    (Path("from-amd") / "chip.der").write_bytes(_GENUINE.certificates[0])
    (Path("from-amd") / "broken.der").write_bytes((EVIDENCE / "snp" / "broken.vcek.der").read_bytes())
    answer = scone("cas", "collateral", "import", "from-amd")
    assert answer.code == 0
    assert answer.out.startswith("kept amd/SEV-VCEK-")
    assert "not kept: certificate SEV-VCEK was not issued by AMD" in answer.err
    Path("old.json").write_text((EVIDENCE / "dcap" / "tdx-v4-uptodate.collateral.json").read_text())
    answer = scone("cas", "collateral", "import", "old.json")
    assert "expired at 2025-07-19" in answer.err
    Path("nothing.json").write_text("{}")
    assert scone("cas", "collateral", "import", "nothing.json").code == InputError.exit_code
    Path("empty").mkdir()
    assert scone("cas", "collateral", "import", "empty").code == InputError.exit_code
    assert owned


def test_what_would_change_is_told_first(scone: Scone, owned: EmbeddedCas) -> None:
    """Nothing is kept by a dry run; scripts see by the exit code whether a service would stop."""
    Path("chip.der").write_bytes(_GENUINE.certificates[0])
    answer = scone("cas", "collateral", "import", "--dry-run", "chip.der")
    assert (answer.code, answer.out) == (0, "0 of 1 would stop\n")
    found = json.loads(
        scone.done("cas", "collateral", "import", "--dry-run", "--json", "--at", "2027-01-01", "chip.der")
    )
    assert (found["at"], found["total"], found["stops"]) == ("2027-01-01T00:00:00Z", 1, [])
    assert not owned.cas.endorsing.library.store.directory.exists()


def test_the_command_keeps_collateral_too(scone: Scone, owned: EmbeddedCas) -> None:
    """In its own directory, which ``scone cas attest`` looks into, or in one that is named."""
    Path("chip.der").write_bytes(_GENUINE.certificates[0])
    assert scone.done("cas", "collateral", "import", "--local", "chip.der").startswith("kept amd/SEV-VCEK-")
    assert list((Path.home() / ".cas" / "collateral" / "amd").glob("SEV-VCEK-*.pem"))
    scone.done("cas", "collateral", "import", "--local", "--directory", "other", "chip.der")
    assert list(Path("other/amd").glob("*.pem"))
    address = f"localhost:{owned.client_address.port}"
    scone.done("cas", "attest", address, "-GCS", "--only_for_testing-debug", "--collateral", "other")


def test_only_the_owner(scone: Scone, owned: EmbeddedCas) -> None:
    """Another identity is refused."""
    (Path.home() / ".cas" / "config.json").rename("owner.json")
    scone.done("cas", "attest", f"localhost:{owned.client_address.port}", "-GCS", "--only_for_testing-debug")
    assert scone("cas", "forecast").code == DeniedError.exit_code
    assert scone("cas", "collateral", "export", "x.jws").code == DeniedError.exit_code
    assert not Path("x.jws").exists()


def test_a_service_that_stopped_is_told_as_such() -> None:
    """With all that is wrong, and what to do."""
    at = dt.datetime(2026, 3, 1, tzinfo=dt.UTC)
    outlook = {
        "session": "payments",
        "service": "app",
        "machine": "ab" * 32,
        "platform": "tdx",
        "seen": "2026-02-01T00:00:00Z",
        "until": "2026-03-01T00:00:00Z",
        "why": ["the platform is out of date", "INTEL-SA-00615"],
        "remedy": "update the firmware",
        "stopped": True,
    }
    later = {**outlook, "stopped": False, "until": "2026-03-10T12:00:00Z", "why": ["a certificate"], "remedy": ""}
    never = {**later, "until": None}
    where = "payments / app  (tdx, machine abababababababababababab, seen 2026-02-01T00:00:00Z)"
    assert forecast_lines([outlook, later, never], at, days=None) == [
        f"stopped already       {where}",
        "    the platform is out of date",
        "    INTEL-SA-00615",
        "    update the firmware",
        f"2026-03-10T12:00:00Z  in 9 days  {where}",
        "    a certificate",
        f"never                 {where}",
        "    a certificate",
    ]
