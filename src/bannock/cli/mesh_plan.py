"""What ``sconectl apply`` and ``sconectl diff`` have in common: a mesh, thought through before anything is done."""

from __future__ import annotations

import os
import re
import shlex
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import yaml

from bannock.charts.mesh import MeshChart, MeshWorkload, PolicyUpload, mesh_chart
from bannock.charts.subcharts import read_chart
from bannock.cli.mesh_cas import find_cas
from bannock.errors import InputError
from bannock.files import read_bounded
from bannock.images.places import Places
from bannock.images.sconify.cache import cache_directory
from bannock.mesh.ledger import Ledger
from bannock.mesh.manifests.model import UploadMode
from bannock.mesh.meshed import terms_of
from bannock.mesh.policies import PolicyKind, policies_of
from bannock.mesh.reading import Wanted, read_extra, read_services
from bannock.mesh.removed import removed_policies
from bannock.mesh.uploading import rolled, stored_measurements, stored_text
from bannock.policy.editing import entry

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from bannock.charts.chart import Chart
    from bannock.cli.mesh_cas import MeshCas
    from bannock.cli.sconectl_options import ApplyOptions
    from bannock.mesh.manifests import MeshManifest
    from bannock.mesh.meshed import MeshedService, Terms
    from bannock.mesh.policies import Policy

__all__ = [
    "HELM",
    "POLICIES",
    "UPLOADED_BY_CLUSTER",
    "MeshPlan",
    "plan_mesh",
    "policy_file",
    "policy_files",
    "upload_of",
]

#: Directory of what was made of the policies, in the target.
POLICIES: Final = "policies"
#: Directory of the chart, likewise.
HELM: Final = "helm"
#: What the chart brings along, and a job of it uploads.
UPLOADED_BY_CLUSTER: Final = frozenset({UploadMode.SIGNED_MANIFEST, UploadMode.ENCRYPTED_MANIFEST})
_SHARED: Final = "global"
#: Image of curated ones that has the command scone.
_CLIENT_IMAGE: Final = "sconecli"
_NUMBERED: Final = re.compile(r"[0-9]{3}-.*\.yaml")
_POLICY_BYTES_MAX: Final = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class MeshPlan:
    """What comes of a mesh.

    Attributes:
        manifest: of the mesh.
        mode: what becomes of its policies.
        cas: where they are kept.
        terms: what they have in common.
        services: of the mesh.
        policies: in the order that a CAS takes them.
        ledger: what was made before.
        stored: session → document that the CAS has; None where it was not asked.
        pull: whether nodes look for newer images.
    """

    manifest: MeshManifest
    mode: UploadMode
    cas: MeshCas
    terms: Terms
    services: tuple[MeshedService, ...]
    policies: tuple[Policy, ...]
    ledger: Ledger
    stored: Mapping[str, str] | None
    pull: bool

    def measurements(self, policy: Policy) -> tuple[str, ...]:
        """Return what a policy accepts."""
        return next((each.measurements for each in self.services if self.terms.session(each.name) == policy.name), ())

    def chart(self, upload: PolicyUpload | None) -> Chart:
        """Make the chart.

        Raises:
            InputError: a name or value cannot be in it.
        """
        config_ids = {policy.name: policy.config_id for policy in self.policies}
        workloads = [
            MeshWorkload(
                name=service.name,
                image=service.image,
                config_id=config_ids[self.terms.session(service.name)],
                volumes={str(volume["name"]): str(volume["path"]) for volume in service.facts.volumes},
                values=service.values,
                digest=service.digest,
                chart=None if service.chart is None else read_chart(service.chart),
            )
            for service in self.services
        ]
        return mesh_chart(
            MeshChart(
                name=self.terms.release,
                workloads=workloads,
                cas=self.cas.address,
                cas_key=self.cas.key,
                pull=self.pull,
                values=self.manifest.values(_SHARED),
                extra=_extra(self.manifest),
                upload=upload,
            )
        )


def plan_mesh(manifest: MeshManifest, options: ApplyOptions, *, push: bool = False) -> MeshPlan:
    """Read images and what is in force, and think of what is to be.

    Args:
        manifest: of the mesh.
        options: of the command line.
        push: whether images are pushed where the mesh wants them.

    Raises:
        BannockError: an image, a value or a secret is missing, or the CAS cannot be asked.
    """
    terms = terms_of(
        manifest,
        release=options.release,
        namespace=options.policy_namespace,
        maa=options.maa,
        debug=options.mode == "debug",
    )
    found = manifest.cas_for("cas")
    mode = UploadMode.NO_UPLOAD if options.dry_run else found.mode
    cas = find_cas(found)
    ledger = Ledger.read(options.target / POLICIES)
    with Places.prepared(cache=cache_directory(os.environ)) as places:
        directory = options.filename.absolute().parent
        extra = read_extra(manifest, terms, directory=directory, mode=options.mode)
        wanted = Wanted(
            directory=directory,
            target=options.target,
            push=push and not options.dry_run,
            digests=options.digests,
        )
        services = read_services(manifest, terms, places, wanted)
    policies = policies_of(services, terms, extra)
    removed = removed_policies(ledger, policies, terms, by_others=mode is not UploadMode.UPLOAD)
    stored = _stored(cas, (*policies, *removed)) if mode is UploadMode.UPLOAD else None
    if options.rolling:
        services = tuple(_rolling(service, terms, ledger, stored) for service in services)
        policies = policies_of(services, terms, extra)
    policies = (*policies, *removed)
    return MeshPlan(
        manifest=manifest,
        mode=mode,
        cas=cas,
        terms=terms,
        services=services,
        policies=policies,
        ledger=ledger,
        stored=stored,
        pull=options.pull,
    )


def upload_of(plan: MeshPlan, options: ApplyOptions, documents: Mapping[str, str]) -> PolicyUpload:
    """Return how a cluster uploads policies.

    Raises:
        InputError: an option of the attestation has what a shell takes for more than a word.
    """
    words = plan.cas.tolerance
    if any(word != shlex.quote(word) for word in words):
        raise InputError("tolerance of the CAS has options of scone cas attest, without quotes or other signs")
    repository = f"{options.repository}/" if options.repository else ""
    return PolicyUpload(
        image=f"{repository}{_CLIENT_IMAGE}:{options.version or 'latest'}",
        cas=plan.cas.client_address,
        tolerance=" ".join(words),
        documents=documents,
        attest=plan.mode is UploadMode.SIGNED_MANIFEST,
    )


def _stored(cas: MeshCas, policies: tuple[Policy, ...]) -> dict[str, str]:
    found = {}
    with cas.open() as api:
        for policy in policies:
            if policy.kind is not PolicyKind.NAMESPACE and (there := stored_text(api, policy.name)) is not None:
                found[policy.name] = there.text
    return found


def _rolling(service: MeshedService, terms: Terms, ledger: Ledger, stored: Mapping[str, str] | None) -> MeshedService:
    name = terms.session(service.name)
    if stored is None:
        accepted = ledger.measurements(name)
    else:
        accepted = stored_measurements(stored[name]) if name in stored else ()
    return replace(service, measurements=rolled(service.measurements[0], accepted))


def _extra(manifest: MeshManifest) -> dict[str, Any]:
    if manifest.helm_extra_values is None:
        return {}
    try:
        document = yaml.safe_load(manifest.helm_extra_values)
    except (yaml.YAMLError, RecursionError):
        raise InputError("helm_extra_values is not YAML") from None
    if not isinstance(document, dict):
        raise InputError("helm_extra_values is a mapping, as values.yaml of a chart is")
    return {str(key): value for key, value in document.items()}


def policy_file(target: Path, number: int, policy: Policy, suffix: str) -> Path:
    """Return where a policy is written."""
    return target / POLICIES / f"{number:03d}-{policy.name.replace('/', '.')}.{suffix}"


def policy_files(target: Path) -> dict[str, Path]:
    """Find the policies that were written the last time, by the names of their sessions."""
    directory = target / POLICIES
    found = {}
    for path in sorted(directory.iterdir()) if directory.is_dir() else ():
        if _NUMBERED.fullmatch(path.name):
            name = entry(read_bounded(path, _POLICY_BYTES_MAX).decode("utf-8", "replace"), "name")
            if name is not None:
                found[name] = path
    return found
