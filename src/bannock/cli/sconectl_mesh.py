"""``sconectl apply`` for the manifest of a mesh: policies, uploaded or written, and the chart."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, Final, assert_never

from bannock.cli.cas_options import warn
from bannock.cli.mesh_plan import POLICIES, UPLOADED_BY_CLUSTER, plan_mesh, policy_file, upload_of
from bannock.cli.state import state_file
from bannock.errors import EnvironmentFault
from bannock.files import make_durable_directory, write_atomically
from bannock.images.places import Places
from bannock.images.sconify.cache import cache_directory
from bannock.mesh.defaults import default_lines
from bannock.mesh.facts import ServiceFacts
from bannock.mesh.manifests.model import UploadMode
from bannock.mesh.uploading import upload
from bannock.policy.signing import encrypt, sign

if TYPE_CHECKING:
    from pathlib import Path

    from bannock.cli.mesh_plan import MeshPlan
    from bannock.cli.sconectl_options import ApplyOptions
    from bannock.mesh.manifests import MeshManifest

__all__ = ["run"]

_MANIFESTS: Final = "manifests"
_OWN_FILE: Final = re.compile(r"[0-9]{3}-.*\.(yaml|json)")
_HELM_SECONDS: Final = 120


def run(manifest: MeshManifest, options: ApplyOptions) -> int:
    """Do what a command line asks for.

    Raises:
        BannockError: it cannot be done.
    """
    if options.print_defaults:
        _print_defaults(manifest)
        return 0
    plan = plan_mesh(manifest, options, push=True)
    _warn(plan, options)
    make_durable_directory(options.target)
    documents = _write_policies(plan, options)
    by_cluster = plan.mode in UPLOADED_BY_CLUSTER
    chart = plan.chart(upload_of(plan, options, documents) if by_cluster else None).write(options.target)
    _deliver(plan, options)
    if options.output == "yaml":
        _render(chart, options.target / _MANIFESTS, plan.terms.release)
    for service in plan.services:
        _tell(f"{plan.terms.session(service.name)} accepts {' and '.join(service.measurements)}", options)
    sys.stdout.write(f"{chart}\n")
    return 0


def _print_defaults(manifest: MeshManifest) -> None:
    with Places.prepared(cache=cache_directory(os.environ)) as places:
        for service in manifest.services:
            image = places.open(service.image)
            facts = ServiceFacts.from_labels(image.config.labels, image=service.image)
            sys.stdout.writelines(f"{line}\n" for line in default_lines(service.name, facts.global_, facts.local))


def _warn(plan: MeshPlan, options: ApplyOptions) -> None:
    if options.mode == "debug":
        warn("mode debug: policies accept enclaves that a debugger may look into, and simulation")
        if any(part.role != "access" for part in plan.terms.parts):
            warn("… unless the session decides otherwise that the mesh names for attestation")
    for service in plan.services:
        if service.facts.mode == "debug" and options.mode != "debug":
            warn(f"the image of service {service.name} was made for mode debug, and its policy does not accept that")


def _write_policies(plan: MeshPlan, options: ApplyOptions) -> dict[str, str]:
    """Write policies below the target, for its user alone; return those that a cluster uploads, by file names."""
    directory = options.target / POLICIES
    make_durable_directory(directory)
    for path in directory.iterdir():
        if _OWN_FILE.fullmatch(path.name):
            path.unlink()
    documents = {}
    for number, policy in enumerate(plan.policies, start=1):
        write_atomically(policy_file(options.target, number, policy, "yaml"), policy.text.encode())
        if plan.mode in {UploadMode.UPLOAD, UploadMode.NO_UPLOAD}:
            continue
        numbered = plan.ledger.number(policy, plan.measurements(policy))
        text = sign(numbered.text, state_file(os.environ).signing_key())
        if plan.mode is not UploadMode.SIGNED_MANIFEST:
            text = encrypt(text, plan.cas.encryption_key())
        write_atomically(policy_file(options.target, number, policy, "json"), text.encode())
        documents[f"{number:03d}.{'new' if numbered.first else 'next'}"] = text
    return documents


def _deliver(plan: MeshPlan, options: ApplyOptions) -> None:
    """Upload the policies, or tell who has to; and remember what was made."""
    match plan.mode:
        case UploadMode.NO_UPLOAD:
            _tell(f"no policy is uploaded; all are in {options.target / POLICIES}", options)
            return
        case UploadMode.UPLOAD:
            with plan.cas.open() as cas:
                digests = upload(cas, plan.policies, lambda line: _tell(line, options))
            for policy in plan.policies:
                if policy.name in digests:
                    plan.ledger.uploaded(policy, digests[policy.name], plan.measurements(policy))
        case UploadMode.ENCRYPTED_ONLY:
            _tell(
                f"encrypted policies are in {options.target / POLICIES}: upload each, in the order of their names, "
                "by scone session create",
                options,
            )
        case UploadMode.SIGNED_MANIFEST | UploadMode.ENCRYPTED_MANIFEST:
            _tell("the policies are uploaded by the chart, when it is installed", options)
        case _:
            assert_never(plan.mode)
    plan.ledger.write(options.target / POLICIES)


def _render(chart: Path, directory: Path, release: str) -> None:
    """Have helm write what the chart makes.

    Raises:
        EnvironmentFault: helm is not there, or fails.
    """
    helm = shutil.which("helm")
    if helm is None:
        raise EnvironmentFault(
            "--output yaml needs helm, and it is not installed",
            hint=f"install helm, or leave --output out: the chart is in {chart}",
        )
    try:
        done = subprocess.run(
            [helm, "template", release, str(chart)],
            capture_output=True,
            check=False,
            text=True,
            timeout=_HELM_SECONDS,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise EnvironmentFault(f"helm cannot be run: {error}") from error
    if done.returncode:
        raise EnvironmentFault(f"helm does not render {chart}: {done.stderr.strip()}")
    make_durable_directory(directory)
    write_atomically(directory / f"{release}.yaml", done.stdout.encode())


def _tell(line: str, options: ApplyOptions) -> None:
    if options.verbose >= 0:
        sys.stderr.write(f"{line}\n")
