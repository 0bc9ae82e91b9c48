"""Labels of the node that a pod runs on, by the API of the cluster and the account of the pod."""

from __future__ import annotations

import http.client
import json
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from bannock.errors import EnvironmentFault, InputError
from bannock.files import read_bounded
from bannock.kubernetes.device_plugin.resources import PLATFORMS

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

__all__ = ["NodeLabels"]

#: Where Kubernetes puts what a pod speaks with its API by.
_ACCOUNT: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_TOKEN_BYTES_MAX: Final = 1 << 16
_ANSWER_BYTES_MAX: Final = 1 << 16
_SECONDS: Final = 10.0
#: That Intel's plugin and SCONE's have for nodes with SGX.
_SGX_LABEL: Final = "sgx.intel.com/capable"
_OUR_LABELS: Final = "bannock.dev/"


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeLabels:
    """The labels of one node.

    Attributes:
        node: its name.
        host, port: of the API.
        account: directory with the token and the certificate of the authority.
    """

    node: str
    host: str
    port: int
    account: Path = _ACCOUNT

    @classmethod
    def of_pod(cls, node: str | None, environment: Mapping[str, str]) -> NodeLabels:
        """Take what Kubernetes tells a pod.

        Raises:
            InputError: this is no pod, or nobody says which node it is on.
        """
        node = node or environment.get("NODE_NAME")
        host, port = environment.get("KUBERNETES_SERVICE_HOST"), environment.get("KUBERNETES_SERVICE_PORT", "443")
        if not host or not port.isdigit():
            raise InputError(
                "labels are given by a pod of a cluster: KUBERNETES_SERVICE_HOST and _PORT are not set",
                hint="leave --label-node out",
            )
        if not node:
            raise InputError("which node is this?", hint="name it: --node NAME, or NODE_NAME=NAME")
        return cls(node=node, host=host, port=int(port))

    def label(self, platforms: Collection[str]) -> None:
        """Give the node labels for these platforms, and take those for others away.

        Raises:
            EnvironmentFault: the cluster does not take it.
        """
        labels = {f"{_OUR_LABELS}{name}": "true" if name in platforms else None for name in PLATFORMS}
        labels[_SGX_LABEL] = "true" if "sgx" in platforms else None
        body = json.dumps({"metadata": {"labels": labels}})
        try:
            # A token is replaced from time to time.
            token = read_bounded(self.account / "token", _TOKEN_BYTES_MAX).decode("ascii").strip()
            context = ssl.create_default_context(cafile=str(self.account / "ca.crt"))
            connection = http.client.HTTPSConnection(self.host, self.port, timeout=_SECONDS, context=context)
            try:
                headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/merge-patch+json"}
                connection.request("PATCH", f"/api/v1/nodes/{quote(self.node, safe='')}", body, headers)
                with connection.getresponse() as answer:
                    text = answer.read(_ANSWER_BYTES_MAX)
            finally:
                connection.close()
        except (OSError, http.client.HTTPException, ValueError, InputError) as error:
            raise EnvironmentFault(f"cannot give the node {self.node} labels: {error}") from None
        if answer.status != http.client.OK:
            raise EnvironmentFault(f"cannot give the node {self.node} labels: {answer.status} {_reason(text)}")


def _reason(text: bytes) -> str:
    try:
        return str(json.loads(text)["message"])[:400]
    except (ValueError, KeyError, TypeError):
        return "without a reason"
