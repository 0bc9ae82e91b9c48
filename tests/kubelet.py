"""A stand-in of the kubelet: its registration service, and its client of device plugins, over the real sockets.

Messages are encoded by Google's library from a description of its own: ours are on one side only.
"""

from __future__ import annotations

import queue
import threading
from concurrent import futures
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, Self

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["Kubelet", "message"]

_PACKAGE: Final = "v1beta1"
_SECONDS: Final = 10.0
#: Message → its fields by number: name and type; a capital letter is a message, ``*`` repeats.
_MESSAGES: Final[dict[str, dict[int, tuple[str, str]]]] = {
    "Empty": {},
    "DevicePluginOptions": {1: ("pre_start_required", "bool"), 2: ("get_preferred_allocation_available", "bool")},
    "RegisterRequest": {
        1: ("version", "string"), 2: ("endpoint", "string"), 3: ("resource_name", "string"),
        4: ("options", "DevicePluginOptions"),
    },
    "Device": {1: ("ID", "string"), 2: ("health", "string")},
    "ListAndWatchResponse": {1: ("devices", "*Device")},
    "ContainerAllocateRequest": {1: ("devices_ids", "*string")},
    "AllocateRequest": {1: ("container_requests", "*ContainerAllocateRequest")},
    "Mount": {1: ("container_path", "string"), 2: ("host_path", "string"), 3: ("read_only", "bool")},
    "DeviceSpec": {1: ("container_path", "string"), 2: ("host_path", "string"), 3: ("permissions", "string")},
    "Variable": {1: ("key", "string"), 2: ("value", "string")},
    "ContainerAllocateResponse": {1: ("envs", "*Variable"), 2: ("mounts", "*Mount"), 3: ("devices", "*DeviceSpec")},
    "AllocateResponse": {1: ("container_responses", "*ContainerAllocateResponse")},
}  # fmt: skip


def _classes() -> dict[str, Any]:
    field = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="api.proto", package=_PACKAGE, syntax="proto3")
    for name, fields in _MESSAGES.items():
        described = file.message_type.add(name=name)
        for number, (called, text) in fields.items():
            kind = text.removeprefix("*")
            label = field.LABEL_REPEATED if text.startswith("*") else field.LABEL_OPTIONAL
            made = described.field.add(name=called, number=number, label=label)
            if kind[0].isupper():
                made.type, made.type_name = field.TYPE_MESSAGE, f".{_PACKAGE}.{kind}"
            else:
                made.type = field.TYPE_BOOL if kind == "bool" else field.TYPE_STRING
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.{name}")) for name in _MESSAGES
    }


_CLASSES: Final = _classes()


def message(name: str, **values: Any) -> Any:
    """Make a message of the protocol."""
    return _CLASSES[name](**values)


class Kubelet:
    """A kubelet with one directory of device plugins; a context manager, and one start of it."""

    def __init__(self, directory: Path) -> None:
        self.directory: Final = directory
        #: Resources that it does not take.
        self.refused: set[str] = set()
        self.registered: Final[queue.Queue[Any]] = queue.Queue()
        self._threads = futures.ThreadPoolExecutor(4)
        self._server = grpc.server(self._threads)
        self._channels: list[grpc.Channel] = []
        handler = grpc.unary_unary_rpc_method_handler(
            self._register,
            request_deserializer=_CLASSES["RegisterRequest"].FromString,
            response_serializer=_CLASSES["Empty"].SerializeToString,
        )
        self._server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler("v1beta1.Registration", {"Register": handler}),)
        )

    def __enter__(self) -> Self:
        # As the kubelet does at its start: what plugins have left there is of no use.
        for socket in self.directory.iterdir():
            socket.unlink()
        self._server.add_insecure_port(f"unix:{self.directory}/kubelet.sock")
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        for channel in self._channels:
            channel.close()
        self._server.stop(0).wait()
        self._threads.shutdown()
        with suppress(FileNotFoundError):
            (self.directory / "kubelet.sock").unlink()

    def registrations(self, count: int, seconds: float = _SECONDS) -> dict[str, Any]:
        """Wait until that many plugins have registered; give their requests by resource."""
        found = [self.registered.get(timeout=seconds) for _ in range(count)]
        return {request.resource_name: request for request in found}

    def call(self, endpoint: str, method: str, request: Any, answer: str) -> Any:
        """Ask a plugin."""
        ask: Any = self._channel(endpoint).unary_unary(
            f"/v1beta1.DevicePlugin/{method}",
            request_serializer=lambda each: each.SerializeToString(),
            response_deserializer=_CLASSES[answer].FromString,
        )
        return ask(request, timeout=_SECONDS)

    def watch(self, endpoint: str) -> Watch:
        """Watch the devices of a plugin."""
        stream: Any = self._channel(endpoint).unary_stream(
            "/v1beta1.DevicePlugin/ListAndWatch",
            request_serializer=lambda each: each.SerializeToString(),
            response_deserializer=_CLASSES["ListAndWatchResponse"].FromString,
        )
        return Watch(stream(message("Empty")))

    def _channel(self, endpoint: str) -> grpc.Channel:
        channel = grpc.insecure_channel(f"unix:{self.directory}/{endpoint}")
        self._channels.append(channel)
        return channel

    def _register(self, request: Any, context: grpc.ServicerContext) -> Any:
        if request.version != _PACKAGE:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"version {request.version}")
        if request.resource_name in self.refused:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"the resource {request.resource_name} is not wanted")
        if not (self.directory / request.endpoint).is_socket():
            context.abort(grpc.StatusCode.FAILED_PRECONDITION, f"no socket {request.endpoint}")
        self.registered.put(request)
        return message("Empty")


class Watch:
    """A stream of lists of devices."""

    def __init__(self, stream: Iterator[Any]) -> None:
        self._lists: Final[queue.Queue[dict[str, str] | None]] = queue.Queue()
        threading.Thread(target=self._read, args=(stream,), daemon=True).start()

    def next(self) -> dict[str, str] | None:
        """Wait for the next list: name of a device → its health; None for the end of the stream."""
        return self._lists.get(timeout=_SECONDS)

    def _read(self, stream: Iterator[Any]) -> None:
        with suppress(grpc.RpcError):
            for answer in stream:
                self._lists.put({device.ID: device.health for device in answer.devices})
        self._lists.put(None)
