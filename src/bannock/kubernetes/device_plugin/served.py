"""One resource, served to the kubelet over a socket of its own. Threads of the gRPC server call it."""

from __future__ import annotations

import logging
import threading
from concurrent import futures
from typing import TYPE_CHECKING, Any, Final, cast

import grpc

from bannock.errors import BannockError, EnvironmentFault
from bannock.kubernetes.device_plugin.messages import (
    EMPTY,
    KUBELET_SOCKET,
    REGISTER,
    SERVICE,
    Registration,
    asked,
    devices,
    given,
)
from bannock.kubernetes.device_plugin.resources import found

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from bannock.kubernetes.device_plugin.messages import Given
    from bannock.kubernetes.device_plugin.resources import Resource

__all__ = ["ServedResource"]

_log = logging.getLogger("bannock.k8s")

#: The kubelet has one stream open, and asks for the rest one after the other; after its restart, an old stream may
#: live on for a moment.
_THREADS: Final = 8
_REGISTER_SECONDS: Final = 5.0
_STOP_SECONDS: Final = 2.0
_WAIT_SECONDS: Final = 1.0


def _as_it_is(data: bytes) -> bytes:
    return data


class ServedResource:
    """A resource of this node, and the server that the kubelet asks for it.

    Args:
        resource: which.
        directory: of the kubelet.
        root: where the names of the node's devices start.
        count: how many containers may have it at once.
    """

    def __init__(self, resource: Resource, directory: Path, root: Path, count: int) -> None:
        self.resource: Final = resource
        self._directory: Final = directory
        self._root: Final = root
        self._names: Final = tuple(f"{resource.name.partition('/')[2]}-{number}" for number in range(count))
        self._changed: Final = threading.Condition()
        self._given: Given | None = found(resource, root)
        self._version = 0
        self._server: grpc.Server | None = None
        self._threads: futures.ThreadPoolExecutor | None = None

    @property
    def socket(self) -> Path:
        """Where it is served."""
        return self._directory / self.resource.socket

    @property
    def is_serving(self) -> bool:
        """Whether it is served, and its socket is still there."""
        return self._server is not None and self.socket.is_socket()

    def refresh(self) -> None:
        """Look for the devices again, and tell the kubelet if something has changed."""
        now = found(self.resource, self._root)
        with self._changed:
            if now == self._given:
                return
            _log.info("%s: %s", self.resource.name, "has no device any more" if now is None else _words(now))
            self._given = now
            self._version += 1
            self._changed.notify_all()

    def serve(self) -> None:
        """Serve it, and register it with the kubelet.

        Raises:
            EnvironmentFault: the socket cannot be made, or the kubelet does not take it.
        """
        self.stop()
        threads = futures.ThreadPoolExecutor(_THREADS, thread_name_prefix=self.resource.name)
        server = grpc.server(threads, handlers=[self._handlers()])
        try:
            server.add_insecure_port(f"unix:{self.socket}")
        except RuntimeError as error:
            raise EnvironmentFault(
                f"cannot serve at {self.socket}", hint="run the plugin as root, with the kubelet's directory"
            ) from error
        server.start()
        self._server, self._threads = server, threads
        try:
            self._register()
        except BaseException:
            self.stop()
            raise
        _log.info("%s: %d for containers, %s", self.resource.name, len(self._names), _words(self._given))

    def stop(self) -> None:
        """Serve it no more."""
        server, self._server = self._server, None
        if server is not None:
            stopped = server.stop(_STOP_SECONDS)
            with self._changed:
                self._changed.notify_all()
            stopped.wait()
        if self._threads is not None:
            self._threads.shutdown()
            self._threads = None
        self.socket.unlink(missing_ok=True)

    def _register(self) -> None:
        kubelet = self._directory / KUBELET_SOCKET
        request = Registration(endpoint=self.resource.socket, resource=self.resource.name)
        with grpc.insecure_channel(f"unix:{kubelet}") as channel:
            register = channel.unary_unary(
                REGISTER, request_serializer=Registration.to_bytes, response_deserializer=_as_it_is
            )
            try:
                register(request, timeout=_REGISTER_SECONDS)
            except grpc.RpcError as error:
                # What is raised is the call itself, which the stubs do not say.
                reason = cast("Any", error).details()
                raise EnvironmentFault(
                    f"the kubelet does not take the resource {self.resource.name}: {reason}"
                ) from None

    def _handlers(self) -> grpc.GenericRpcHandler:
        def unary(method: Callable[[bytes, grpc.ServicerContext], bytes]) -> grpc.RpcMethodHandler[bytes, bytes]:
            return grpc.unary_unary_rpc_method_handler(
                method, request_deserializer=_as_it_is, response_serializer=_as_it_is
            )

        return grpc.method_handlers_generic_handler(
            SERVICE,
            {
                "GetDevicePluginOptions": unary(self._options),
                "Allocate": unary(self._allocate),
                "ListAndWatch": grpc.unary_stream_rpc_method_handler(
                    self._list_and_watch, request_deserializer=_as_it_is, response_serializer=_as_it_is
                ),
            },
        )

    def _options(self, _request: bytes, _context: grpc.ServicerContext) -> bytes:
        return EMPTY

    def _list_and_watch(self, _request: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
        told = -1
        while context.is_active() and self._server is not None:
            with self._changed:
                if told == self._version:
                    self._changed.wait(_WAIT_SECONDS)
                    continue
                told, healthy = self._version, self._given is not None
            yield devices(self._names, healthy=healthy)

    def _allocate(self, request: bytes, context: grpc.ServicerContext) -> bytes:
        try:
            containers = asked(request)
        except BannockError as error:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, error.message)
        # What is there now counts, and not what was there when the kubelet was told.
        self.refresh()
        now = self._given
        if now is None:
            context.abort(grpc.StatusCode.UNAVAILABLE, f"this node has no device for {self.resource.name} any more")
        for names in containers:
            if unknown := [name for name in names if name not in self._names]:
                context.abort(grpc.StatusCode.NOT_FOUND, f"{self.resource.name} has no device {unknown[0][:80]}")
        return given([now for _ in containers])


def _words(now: Given | None) -> str:
    return "no device" if now is None else ", ".join((*now.devices, *now.mounts))
