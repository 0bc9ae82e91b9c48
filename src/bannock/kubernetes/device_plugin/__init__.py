"""A device plugin: gives containers the devices by which they are attested, without privilege.

The protocol is that of the kubelet (``k8s.io/kubelet/pkg/apis/deviceplugin/v1beta1``): gRPC over unix sockets.
"""

__all__: list[str] = []
