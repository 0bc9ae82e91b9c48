"""What ``ssh`` says when it cannot connect, in our words: whose fault it is and what to do. Pure.

Source: the messages of OpenSSH's client, in its language without a locale.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from bannock.errors import DeniedError, EnvironmentFault, InputError, PeerError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bannock.errors import BannockError
    from bannock.execution.hosts.target import SshTarget

__all__ = ["refusal"]

_LINES_MAX: Final = 8
_FRAME: Final = "@@@"


def refusal(target: SshTarget, told: Sequence[str], *, said: bool) -> BannockError:
    """Make the error that ends a try to connect.

    Args:
        target: the host.
        told: what ssh wrote to standard error.
        said: whether the host's shell got as far as to begin its answer.
    """
    text = "\n".join(told)
    reasons = [line for line in told if _FRAME not in line][:_LINES_MAX]
    host = f"host {target.alias} ({target})"
    if known := _about_keys(target, host, text, reasons):
        return known
    if "Could not resolve hostname" in text:
        return InputError(f"{host}: there is no host of that name", reasons=reasons)
    if said:
        return PeerError(f"{host} lets us in, and does not run commands as it has to", reasons=reasons)
    return EnvironmentFault(
        f"cannot reach {host}",
        reasons=reasons or ["it does not answer in time"],
        hint="is it running, and does its sshd listen there? --port names another port",
    )


def _about_keys(target: SshTarget, host: str, text: str, reasons: list[str]) -> BannockError | None:
    """Make the error if it is about a key, theirs or ours."""
    if "REMOTE HOST IDENTIFICATION HAS CHANGED" in text:
        return PeerError(
            f"{host} shows another key than the one that is pinned: it was installed anew, or it is another machine",
            reasons=[f"it shows {word.rstrip('.')}" for word in text.split() if word.startswith("SHA256:")],
            hint=f"ask who runs it for its key; if the new one is right: bannock add-host --alias {target.alias} "
            f"--hostname {target.hostname} --host-key SHA256:…",
        )
    if "Host key verification failed" in text:
        return PeerError(
            f"{host} has shown no key so far, so anybody could be there", hint=f"bannock check-host {target.alias}"
        )
    if "UNPROTECTED PRIVATE KEY" in text or "bad permissions" in text:
        return InputError(
            f"others can read the key of host {target.alias}, {target.key}", hint=f"chmod 600 {target.key}"
        )
    if "Permission denied" in text or "Too many authentication failures" in text:
        return DeniedError(
            f"{host} does not take the key that was made for it",
            reasons=reasons,
            hint="grant access with the line that add-host prints: "
            f'eval "$(bannock add-host --alias {target.alias} --hostname {target.hostname})"',
        )
    return None
