"""``--k8s-helm-…`` of ``sconify_image``: a chart for the protected image."""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bannock.charts.workload import ChartVolume, Workload, WorkloadType, ports_of, workload_chart
from bannock.cli.cas_options import warn
from bannock.errors import EnvironmentFault, InputError
from bannock.files import write_atomically

if TYPE_CHECKING:
    import argparse

    from bannock.charts.chart import Chart
    from bannock.cli.options import Parser
    from bannock.images.sconify.options import SconifyOptions

__all__ = ["ChartRequest", "add_chart_options", "chart_of", "chart_request", "write_chart"]

#: Where scripts of the original have a volume to get charts by.
_OUTPUT: Final = Path("/sconify-helm")
_HELM_SECONDS: Final = 120
#: What names an image that a cluster cannot pull from.
_NOT_PULLED: Final = ("docker-daemon:", "oci:", "oci-archive:", "docker-archive:")


@dataclass(frozen=True, slots=True, kw_only=True)
class ChartRequest:
    """What is asked for of a chart.

    Attributes:
        type: what a cluster makes of the image.
        directory: where the chart's directory is made; None: the default.
        manifests: file that what helm makes of the chart is written to; None: none.
        ports: that clients reach.
        volumes: that nothing protects.
        settings: other defaults of its parameters.
    """

    type: WorkloadType
    directory: Path | None
    manifests: Path | None
    ports: tuple[int, ...]
    volumes: tuple[ChartVolume, ...]
    settings: tuple[str, ...]


def add_chart_options(parser: Parser) -> None:
    """Add the options."""
    parser.add_argument(
        "--k8s-helm-workload-type",
        dest="workload",
        metavar="TYPE",
        help="write a Helm chart that runs the image as a deployment, statefulset, daemonset or job",
    )
    parser.add_argument(
        "--k8s-helm-output-dir",
        dest="chart_directory",
        type=Path,
        metavar="DIRECTORY",
        help=f"where to ({_OUTPUT}, or sconify-helm where there is no such directory)",
    )
    for name, metavar, what in (
        ("expose", "PORT", "a port that others reach"),
        ("volume", "NAME:PATH", "a volume that is NOT encrypted, beside those of --volume"),
        ("set", "PARAMETER=VALUE", "another default of a parameter of the chart"),
    ):
        parser.add_argument(
            f"--k8s-helm-{name}", action="append", default=[], metavar=metavar, help=f"{what} (several times)"
        )
    parser.add_argument(
        "--k8s-helm-manifests",
        dest="chart_manifests",
        type=Path,
        metavar="FILE",
        help="write the manifests that helm makes of the chart, too",
    )


def chart_request(parsed: argparse.Namespace) -> ChartRequest | None:
    """Take the options.

    Raises:
        InputError: something in them cannot be, or is for a chart and none is asked for.
    """
    ports, volumes, settings = parsed.k8s_helm_expose, parsed.k8s_helm_volume, parsed.k8s_helm_set
    if parsed.workload is None:
        if ports or volumes or settings or parsed.chart_directory or parsed.chart_manifests:
            raise InputError(
                "--k8s-helm-... options are for a chart, and none is asked for",
                hint="add --k8s-helm-workload-type=deployment, statefulset, daemonset or job",
            )
        return None
    return ChartRequest(
        type=WorkloadType.parse(parsed.workload),
        directory=parsed.chart_directory,
        manifests=parsed.chart_manifests,
        ports=ports_of(ports),
        volumes=tuple(map(ChartVolume.parse, volumes)),
        settings=tuple(settings),
    )


def chart_of(request: ChartRequest, options: SconifyOptions, target: str) -> Chart:
    """Make the chart.

    Raises:
        InputError: a cluster cannot pull from there, or a parameter or a name cannot be.
    """
    if target.startswith(_NOT_PULLED):
        raise InputError(
            f"a cluster cannot pull {target[:200]}",
            hint="name an image of a registry with --to, or leave out --k8s-helm-workload-type",
        )
    protected = [ChartVolume(name=volume.name, path=volume.path, protected=True) for volume in options.volumes]
    return workload_chart(
        Workload(
            type=request.type,
            name=options.service,
            image=target.removeprefix("docker://"),
            program=options.binary,
            config_id=f"{options.session}/{options.service}",
            cas=options.cas,
            cas_key=options.cas_key,
            las=options.las,
            ports=request.ports,
            volumes=(*protected, *request.volumes),
            settings=request.settings,
        )
    )


def write_chart(request: ChartRequest, chart: Chart, *, pushed: bool) -> None:
    """Write the chart, and what helm makes of it if that is asked for.

    Raises:
        InputError: helm does not take it.
        EnvironmentFault: the file system refuses, or there is no helm.
    """
    directory = request.directory or (_OUTPUT if _OUTPUT.is_dir() else Path(_OUTPUT.name))
    path = chart.write(directory)
    sys.stderr.write(f"the chart is in {path}: start it with helm install RELEASE {path}\n")
    if not pushed:
        warn("the image is in the container engine of this machine alone: push it to where the cluster pulls it from")
    if request.manifests is not None:
        write_atomically(request.manifests, _rendered(chart.name, path).encode(), mode=0o644)
        sys.stderr.write(f"its manifests are in {request.manifests}\n")


def _rendered(name: str, path: Path) -> str:
    helm = shutil.which("helm")
    if helm is None:
        raise EnvironmentFault(
            f"--k8s-helm-manifests needs the program helm; the chart is in {path}",
            hint="install Helm 3 or 4 (https://helm.sh), or run helm template elsewhere",
        )
    done = subprocess.run(
        [helm, "template", name, str(path)], capture_output=True, text=True, check=False, timeout=_HELM_SECONDS
    )
    if done.returncode != 0:
        raise InputError(f"helm does not take the chart {path}: {done.stderr.strip()[:500]}")
    return done.stdout
