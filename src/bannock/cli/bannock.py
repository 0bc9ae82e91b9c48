"""The command ``bannock``: services, enclaves and remote runs.

``bannock run`` stands in front of applications and must start without the weight of the other verbs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NoReturn

from bannock.cli.command import Command

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["COMMAND", "VERBS", "entry", "main"]

#: Words → module, and what it does in one line.
VERBS: Final[dict[tuple[str, ...], tuple[str, str]]] = {
    ("execute",): ("bannock.cli.execute", "encrypt inputs, run an application on a host, decrypt its outputs"),
    ("runs", "list"): ("bannock.cli.runs_list", "list the runs that are not done"),
    ("runs", "resume"): ("bannock.cli.runs_resume", "go on with a run that was broken off"),
    ("runs", "cancel"): ("bannock.cli.runs_cancel", "take runs away, with all that is left of them"),
    ("run",): ("bannock.cli.run", "start one command as an enclave on this host"),
    ("add-host",): ("bannock.cli.add_host", "make a key pair for a host, and print the line that lets it in"),
    ("list-hosts",): ("bannock.cli.list_hosts", "list the hosts that were added"),
    ("check-host",): ("bannock.cli.check_host", "find out what a host has, and what is missing for runs there"),
    ("remove-host",): ("bannock.cli.remove_host", "forget a host and its keys"),
    ("encryptedpush",): ("bannock.cli.encryptedpush", "encrypt inputs for an application that somebody else starts"),
    ("decrypt",): ("bannock.cli.decrypt", "decrypt what came of it"),
    ("iexec-app",): ("bannock.cli.iexec_app", "tell what iExec has to know of an image"),
    ("cas", "serve"): ("bannock.cli.cas_serve", "serve the configuration and attestation service"),
    ("cas", "backup"): ("bannock.cli.cas_backup", "write all that a CAS has to one sealed file"),
    ("cas", "restore"): ("bannock.cli.cas_restore", "make the database of a CAS from a backup"),
    ("cas", "rekey"): ("bannock.cli.cas_rekey", "put another master key in force"),
    ("cas", "forecast"): ("bannock.cli.cas_forecast_here", "tell when services would stop attesting, and why"),
    ("las", "serve"): ("bannock.cli.las_serve", "serve the local attestation service of this host"),
    ("k8s", "run"): ("bannock.cli.k8s_run", "run the pods of a chart on this machine, without a cluster"),
    ("k8s", "list"): ("bannock.cli.k8s_list", "list them"),
    ("k8s", "logs"): ("bannock.cli.k8s_logs", "print what they have printed"),
    ("k8s", "exec"): ("bannock.cli.k8s_exec", "run a command in one of them"),
    ("k8s", "stop"): ("bannock.cli.k8s_stop", "take them away"),
    ("k8s", "env"): (
        "bannock.cli.k8s_env",
        "put stand-ins for kubectl and helm into the path",
    ),
    ("k8s", "kubectl"): ("bannock.cli.k8s_kubectl", "stand in for kubectl"),
    ("k8s", "helm"): ("bannock.cli.k8s_helm", "stand in for helm"),
    ("k8s", "device-plugin"): (
        "bannock.cli.k8s_device_plugin",
        "give containers of this node devices, without privilege",
    ),
    ("transfer", "serve"): ("bannock.cli.transfer_serve", "serve files on their way, in the manner of transfer.sh"),
    ("runtime", "build-layer"): ("bannock.cli.runtime_build_layer", "make the layer of images that has the runtime"),
    ("doctor",): ("bannock.cli.doctor", "look at this machine and its services, and say what to do"),
    ("demo",): ("bannock.cli.demo", "show the whole on this machine, attack it three times, and report"),
    ("man",): ("bannock.cli.man", "write the manual pages of all commands"),
    ("completion",): ("bannock.cli.completion", "complete the command lines of all commands in a shell"),
}
_PURPOSE: Final = (
    "Run an unmodified application so that only the attested application sees its secrets, code and data."
)
_EXAMPLES: Final = """\
  bannock demo
      everything at once, on this machine, with a report of what a host can and cannot do
  bannock execute --application copy_demo --host local --input INPUTS --output OUTPUTS
      the same for your own files"""

COMMAND: Final = Command(name="bannock", purpose=_PURPOSE, verbs=VERBS, examples=_EXAMPLES)


def entry() -> NoReturn:
    """Be the console script."""
    COMMAND.enter()


def main(arguments: Sequence[str]) -> int:
    """Run a command line and return its exit code (:meth:`Command.run`)."""
    return COMMAND.run(arguments)


if __name__ == "__main__":
    entry()
