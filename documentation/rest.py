"""The reference of a CAS's interfaces, made of what a CAS says of itself in ``GET /openapi.json``."""

from __future__ import annotations

import asyncio
import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from bannock.cas import Cas, CasConfig
from bannock.cas.client_api import client_application
from bannock.cas.enclave_api import enclave_application
from documentation.markdown import cell, words

if TYPE_CHECKING:
    from collections.abc import Iterator

    from starlette.types import ASGIApp, Message

__all__ = ["described", "rest_page"]

_HEAD: Final = {
    "client": """\
# The interface for clients

Made of what a CAS says of itself (`GET /openapi.json` at port 8081; [as JSON](openapi-client.json)). Who may ask
what, and how a client is known, is in [the API of a CAS](../cas-api.md).

""",
    "enclave": """\
# The interface for enclaves

Made of what a CAS says of itself (`GET /openapi.json` at port 18765; [as JSON](openapi-enclave.json)). It is for
runtimes; what a connection is, and how evidence is bound to it, is in [the API of a CAS](../cas-api.md#for-enclaves).

""",
}
#: Every route may answer these, as a problem document.
_ERROR: Final = "4"
_REFERENCE: Final = "#/components/schemas/"


def described() -> dict[str, Any]:
    """Ask a CAS for the documents of its interfaces, ``client`` and ``enclave``."""
    with tempfile.TemporaryDirectory() as directory:
        cas = Cas(CasConfig.in_directory(Path(directory) / "cas"))
        try:
            applications = {"client": client_application(cas), "enclave": enclave_application(cas)}
            return {name: json.loads(asyncio.run(_asked(each))) for name, each in applications.items()}
        finally:
            cas.close()


async def _asked(application: ASGIApp) -> bytes:
    body = bytearray()
    path = "/openapi.json"
    scope = {
        "type": "http",
        "method": "GET",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [],
    }

    async def receive() -> Message:
        return {"type": "http.request", "body": b""}

    async def send(message: Message) -> None:
        body.extend(message.get("body", b""))

    await application(scope, receive, send)
    return bytes(body)


def rest_page(name: str, document: dict[str, Any]) -> str:
    """Return the page of an interface."""
    operations = [
        (method, path, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]
    lines = [_HEAD[name], "| request | what it does |", "|---|---|"]
    lines += [
        f"| [`{method.upper()} {path}`](#{_anchor(operation)}) | {_said(operation)} |"
        for method, path, operation in operations
    ]
    lines.append("")
    for method, path, operation in operations:
        lines += [f"## {method.upper()} {path} {{ #{_anchor(operation)} }}\n"]
        lines += _operation(operation)
    lines.append("## What is sent and answered\n")
    for title, schema in sorted(document["components"]["schemas"].items()):
        lines += _schema(title, schema)
    return "\n".join(lines)


def _anchor(operation: dict[str, Any]) -> str:
    return str(operation["operationId"]).replace("_", "-")


def _said(operation: dict[str, Any]) -> str:
    return cell(str(operation.get("description", "")).replace("``", "`"))


def _operation(operation: dict[str, Any]) -> Iterator[str]:
    yield f"{_said(operation)}\n"
    rows = [
        f"| `{each['name']}` | {each['in']} | {_type(each['schema'])}"
        f"{', required' if each.get('required') else ''} | {words(each.get('description', ''))} |"
        for each in operation.get("parameters", [])
    ]
    if "requestBody" in operation:
        body = operation["requestBody"]
        for media, content in body["content"].items():
            kind = "any type" if media == "*/*" else f"`{media}`"
            rows.append(
                f"| | body, {kind} | {_type(content.get('schema', {}))} | {words(body.get('description', ''))} |"
            )
    if rows:
        yield "| name | in | form | |\n|---|---|---|---|\n" + "\n".join(rows) + "\n"
    for status, response in operation["responses"].items():
        if status < _ERROR:
            answers = [
                _type(content.get("schema", {})) if content.get("schema") else f"`{media}`"
                for media, content in response.get("content", {}).items()
            ]
            yield f"Answers **{status}**: {', '.join(dict.fromkeys(answers)) or 'nothing'}\n"
    failures = [status for status in operation["responses"] if status >= _ERROR]
    yield f"Errors: {', '.join(failures)}, each a {_link('Problem')}\n"


def _schema(title: str, schema: dict[str, Any]) -> Iterator[str]:
    yield f"### {title} {{ #{title.lower()} }}\n"
    if "description" in schema:
        yield f"{cell(str(schema['description']).replace('``', '`'))}\n"
    required = set(schema.get("required", []))
    rows = [
        f"| `{name}` | {_type(each)}{', required' if name in required else ''} | {cell(each.get('description', ''))} |"
        for name, each in schema.get("properties", {}).items()
    ]
    if rows:
        yield "| key | form | |\n|---|---|---|\n" + "\n".join(rows) + "\n"


def _type(schema: dict[str, Any]) -> str:
    """Tell the form of a value in few words."""
    if "$ref" in schema:
        return _link(str(schema["$ref"]).removeprefix(_REFERENCE))
    if "anyOf" in schema:
        return " or ".join(_type(each) for each in schema["anyOf"])
    if "const" in schema or "enum" in schema:
        values = schema.get("enum", [schema.get("const")])
        return "one of " * (len(values) > 1) + ", ".join(f"`{json.dumps(each)}`" for each in values)
    return _plain(schema)


def _plain(schema: dict[str, Any]) -> str:
    match schema.get("type", "anything"):
        case "array":
            return f"list of {_type(schema.get('items', {}))}"
        case "object":
            more = schema.get("additionalProperties")
            return f"mapping to {_type(more)}" if isinstance(more, dict) and more else "object"
        case "string":
            return f"text {_form(schema)}".strip()
        case other:
            return str(other)


def _form(schema: dict[str, Any]) -> str:
    if "pattern" in schema:
        return f"`{schema['pattern']}`"
    return f"of at most {schema['maxLength']} characters" if "maxLength" in schema else ""


def _link(title: str) -> str:
    return f"[{title}](#{title.lower()})"
