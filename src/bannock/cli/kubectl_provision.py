"""The plugin ``kubectl provision``: a CAS in a cluster, installed, attested and claimed."""

from __future__ import annotations

import datetime as dt
import os
import secrets
import shlex
import string
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn

from bannock.cli.attest_options import add_expectations, endorsements_of, expectations, verification_time
from bannock.cli.cas_options import CAS_PORT, SconeParser, cas_address
from bannock.cli.cas_remember import remember
from bannock.cli.command import Command
from bannock.cli.options import Parser
from bannock.cli.state import StateFile, state_file
from bannock.errors import DeniedError, InputError
from bannock.kubernetes.cas_release import CasRelease, image_name
from bannock.kubernetes.cluster import Cluster
from bannock.net.address import Address
from bannock.remote.cas_api import CasApi
from bannock.remote.cas_attestation import attest_cas
from bannock.remote.owner_client import ConfigFile, provision, read_config_file

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Sequence

    from bannock.cli.state import KnownCas
    from bannock.evidence.cas_verifier import AttestedCas

__all__ = ["COMMAND", "entry", "main"]

_NAME: Final = "kubectl-provision"
_TOLERATIONS: Final = "--set-tolerations"
_RETRIES: Final = 3
_DESCRIPTION: Final = """\
Install a CAS in a namespace of a cluster by helm (the chart `cas`, with a volume for its database), wait until it
serves, attest it, and claim it: its owner is the identity of `scone`. It is remembered as NAME.NAMESPACE, which is how
services of the cluster call it. A CAS that is there already is kept, with its data and its settings.

What its software has to be, and what is accepted of its platform, is said by --set-tolerations, in the options of
`scone cas attest`. Without them it has to be the software that is installed here, on hardware.

environment:
  SGX_TOLERATIONS   as --set-tolerations        VERSION       as --set-version
  BANNOCK_CAS       as --address                SCONECTL_REPO as --image-registry"""
_EXAMPLES: Final = """\
  kubectl provision cas -n scone-system --set useSGXDevPlugin=tdx --set-tolerations "--machines rules.yaml"
  source <(kubectl provision cas mycas -n scone-system --print-public-keys)
  kubectl provision cas mycas --is-provisioned && echo somebody owns it
  kubectl provision cas mycas --upgrade 0.2.0 --set-tolerations "--mrenclave $MRENCLAVE\""""

COMMAND: Final = Command(
    name=_NAME,
    purpose=_DESCRIPTION,
    verbs={(): ("bannock.cli.kubectl_provision", "install, attest and claim a CAS in a cluster")},
    examples=_EXAMPLES,
)


def entry() -> NoReturn:
    """Be the console script."""
    COMMAND.enter()


def main(arguments: Sequence[str]) -> int:
    """Parse, and do what is asked for."""
    parsed = _parse(arguments)
    release = _release(parsed)
    if parsed.upgrade is not None:
        _upgrade(parsed, release)
    elif parsed.print_public_keys:
        _print_keys(_remembered(parsed, release, _attested(parsed, release)))
    elif parsed.is_provisioned:
        if not _attested(parsed, release).statement.provisioned:
            raise DeniedError(f"nobody owns the CAS {release.host} yet", hint="leave --is-provisioned out to claim it")
        _tell(f"the CAS {release.host} is provisioned")
    elif parsed.verify:
        known = _remembered(parsed, release, _attested(parsed, release))
        _tell(f"the CAS {release.host} is trustworthy: {known.key_hash}")
    elif parsed.wait:
        release.wait()
        _tell(f"the CAS {release.host} serves")
    else:
        _provision(parsed, release)
    return 0


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = Parser("", _DESCRIPTION, _EXAMPLES, command="kubectl provision")
    parser.add_argument("service", metavar="SVC", choices=("cas", "vault"), help="cas")
    parser.add_argument("name", metavar="NAME", nargs="?", help="of the CAS (cas)")
    parser.add_argument(
        "-n", "--namespace", default="default", metavar="NS", help="namespace of the cluster (default)"
    )
    for option, what in (
        ("--print-public-keys", "attest it, and print shell commands that set its keys"),
        ("--is-provisioned", "attest it; the exit code is 0 if somebody owns it"),
        ("--verify", "attest it"),
        ("--wait", "wait until it serves"),
    ):
        parser.add_argument(option, action="store_true", help=what)
    parser.add_argument("--upgrade", metavar="VERSION", help="start another version of its software on its data")
    parser.add_argument("--set-version", metavar="VERSION", help="version of its image")
    parser.add_argument("--image-registry", metavar="URL", help="registry of its image bannock-cas")
    parser.add_argument("--image-overwrite", metavar="IMAGE", help="its image")
    parser.add_argument(
        "-o", "--owner-config", type=Path, metavar="FILE", help="configuration by its owner; $NAME is replaced"
    )
    parser.add_argument("-d", "--dcap-api", metavar="KEY", help="what Intel's collateral is asked for with")
    parser.add_argument(_TOLERATIONS, metavar="OPTIONS", help="options of `scone cas attest`, in one text")
    parser.add_argument("--set", action="append", default=[], metavar="PARAMETER=VALUE", help="of the chart")
    parser.add_argument("-f", "--filename", type=Path, metavar="FILE", help="file with parameters of the chart")
    parser.add_argument("--address", metavar="HOST[:PORT]", help="where it is reached, if not through kubectl")
    parser.add_argument("--target", type=Path, metavar="DIR", help="where credentials are kept (~/.cas)")
    parser.add_argument("-v", "--verbose", action="count", default=0, help="tell each command that runs")
    parsed = parser.parse_intermixed_args(_joined(arguments))
    if parsed.service != "cas":
        raise InputError(f"{parsed.service} cannot be provisioned", hint="only a CAS can be: kubectl provision cas")
    return parsed


def _joined(arguments: Sequence[str]) -> list[str]:
    """Put ``--set-tolerations`` and its value into one word: the value looks like an option."""
    found = list(arguments)
    if _TOLERATIONS in found[:-1]:
        at = found.index(_TOLERATIONS)
        found[at : at + 2] = [f"{_TOLERATIONS}={found[at + 1]}"]
    return found


def _release(parsed: argparse.Namespace) -> CasRelease:
    observer = (lambda line: _tell(f"+ {line}")) if parsed.verbose else None
    cluster = Cluster(namespace=parsed.namespace, environment=os.environ, observer=observer)
    return CasRelease(cluster=cluster, name=parsed.name or parsed.service)


def _provision(parsed: argparse.Namespace, release: CasRelease) -> None:
    if parsed.address is None and not os.environ.get("BANNOCK_CAS"):
        release.install(_image(parsed), parsed.set, parsed.filename)
    config = _owner_config(parsed, release)
    attested = _attested(parsed, release)
    if not attested.statement.provisioned:
        with _reached(parsed, release) as address:
            identity = _state(parsed).identity()
            with CasApi(address, identity, expected=attested.key_hash, retries=_RETRIES) as cas:
                provision(cas, config, token=release.token(), database_key=None)
        _tell(f"the CAS {release.host} was provisioned; its owner is {identity.key_hash}")
    else:
        _tell(f"the CAS {release.host} is provisioned already")
    _remembered(parsed, release, attested)


def _upgrade(parsed: argparse.Namespace, release: CasRelease) -> None:
    # An upgrade must not end with another CAS, so who it is has to be known before.
    known = _state(parsed).read().find_cas(release.host)
    release.upgrade(parsed.upgrade)
    try:
        attested = _attested(parsed, release, key_hash=known.key_hash)
    except BaseException:
        _tell(
            f"the CAS {release.host} is not what it has to be after the upgrade: the version before is started again"
        )
        release.roll_back()
        raise
    _remembered(parsed, release, attested)
    _tell(f"the CAS {release.host} runs version {attested.statement.version}, and is the same CAS")


def _image(parsed: argparse.Namespace) -> str | None:
    if parsed.image_overwrite is not None:
        return str(parsed.image_overwrite)
    version = parsed.set_version or os.environ.get("VERSION")
    registry = parsed.image_registry or os.environ.get("SCONECTL_REPO", "")
    return image_name(registry, version) if version or registry else None


def _owner_config(parsed: argparse.Namespace, release: CasRelease) -> ConfigFile:
    if parsed.owner_config is not None:
        given = read_config_file(parsed.owner_config)
        names = {**os.environ, "NAME": release.name, "NAMESPACE": release.cluster.namespace}
        try:
            return ConfigFile(text=string.Template(given.text).substitute(names), form=given.form)
        except KeyError as error:
            raise InputError(f"{parsed.owner_config}: the variable ${error.args[0]} is not set") from None
        except ValueError:
            raise InputError(f"{parsed.owner_config}: a $ stands before no name", hint="write $$ for one") from None
    alternatives = ", ".join(f'"{name}"' for name in (release.name, release.host, f"{release.host}.svc", "localhost"))
    text = f'[api_identity]\ncommon_name = "{release.name}"\nalt_names = [{alternatives}]\n'
    if parsed.dcap_api is not None:
        if not parsed.dcap_api.isalnum():
            raise InputError("--dcap-api is letters and digits")
        text += f'\n[dcap]\nsubscription_key = "{parsed.dcap_api}"\n'
    return ConfigFile(text=text, form="toml")


def _attested(parsed: argparse.Namespace, release: CasRelease, key_hash: str | None = None) -> AttestedCas:
    parser = SconeParser("cas attest", "", "")
    add_expectations(parser)
    texts = parsed.set_tolerations if parsed.set_tolerations is not None else os.environ.get("SGX_TOLERATIONS", "")
    try:
        tolerated = parser.parse(shlex.split(texts))
    except ValueError as error:
        raise InputError(f"--set-tolerations: {error}") from None
    now = dt.datetime.now(dt.UTC)
    at = verification_time(tolerated.verification_time, now)
    # Who was attested before stays who it is.
    known = _state(parsed).read().cas.get(release.host)
    expected = expectations(
        tolerated, key_hash=key_hash or (known.key_hash if known else None), allow_unprovisioned=True
    )
    with _reached(parsed, release) as address:
        return attest_cas(
            address, expected, retries=_RETRIES, at=at, random=secrets.token_bytes,
            endorsements=endorsements_of(tolerated, at),
        )  # fmt: skip


@contextmanager
def _reached(parsed: argparse.Namespace, release: CasRelease) -> Iterator[Address]:
    direct = parsed.address or os.environ.get("BANNOCK_CAS")
    if direct:
        yield cas_address(direct)
        return
    with release.reached() as address:
        yield address


def _remembered(parsed: argparse.Namespace, release: CasRelease, attested: AttestedCas) -> KnownCas:
    direct = parsed.address or os.environ.get("BANNOCK_CAS")
    address = cas_address(direct) if direct else Address(release.host, CAS_PORT)
    return remember(_state(parsed), release.host, address, attested, dt.datetime.now(dt.UTC))


def _state(parsed: argparse.Namespace) -> StateFile:
    return state_file(os.environ) if parsed.target is None else StateFile(parsed.target / "config.json")


def _print_keys(known: KnownCas) -> None:
    lines = known.session_encryption_key.split("\n")
    body = "".join(line.strip() for line in lines if "-----" not in line)
    for name, value in (
        ("CAS_KEY", known.key_hash),
        ("CAS_SOFTWARE_KEY", known.software_key_hash),
        ("CAS_SESSION_ENCRYPTION_KEY", body),
    ):
        sys.stdout.write(f'export {name}="{value}"\n')


def _tell(line: str) -> None:
    """What scripts read is on standard output, and nothing else."""
    sys.stderr.write(f"{line}\n")


if __name__ == "__main__":
    entry()
