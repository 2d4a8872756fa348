"""Checks form bodies and answers against Stripe's OpenAPI file, where that is at hand."""

import json
import os
import re
from functools import cache
from pathlib import Path
from typing import Any

from tests.doubles.stripe.departures import ASKED, LACKING, NEWER, UNCHECKED
from tests.doubles.stripe.errors import invalid
from tests.doubles.stripe.values import Json

ROOT = Path(__file__).resolve().parents[3]
SHARED = Path(os.environ.get("BOTYARD_SHARED") or ROOT.parent / "shared")
SPEC = SHARED / "data" / "stripe" / "openapi" / "spec3.json"
FORM = "application/x-www-form-urlencoded"
# How a form carries what is not a text.
PLAIN: dict[str, Json] = {
    "string": {"type": "string"},
    "boolean": {"enum": ["true", "false"]},
    "integer": {"type": "string", "pattern": r"^-?\d+$"},
    "number": {"type": "string", "pattern": r"^-?\d+(\.\d+)?$"},
}


class ContractBroken(AssertionError):
    """The fake answered what Stripe would not."""


@cache
def specification() -> Json | None:
    """Return the stored specification, or None where it is not at hand."""
    if not SPEC.exists():
        return None
    told: Json = json.loads(SPEC.read_bytes())
    return told


def available() -> bool:
    """Tell whether answers can be checked here."""
    try:
        import jsonschema  # noqa: F401
    except ImportError:
        return False
    return SPEC.exists()


class Contract:
    """Compiled checks, each made when it is first needed, shared by all fakes of a process."""

    def __init__(self) -> None:
        self.broken: list[str] = []

    def check_request(self, method: str, path: str, raw: Json) -> None:
        """Refuse a form body that Stripe would refuse."""
        found = _operation(method.lower(), path)
        if found is None:
            return
        error = next(iter(found.iter_errors(raw)), None)
        if error is None:
            return
        where = ".".join(str(part) for part in error.absolute_path)
        self.broken.append(f"{method} {path}: {where}: {error.message[:300]}")
        unknown = re.search(r"\('(\w+)' was unexpected\)", error.message)
        if unknown:
            name = ".".join(filter(None, [where, unknown.group(1)]))
            raise invalid(f"Received unknown parameter: {name}", name, "parameter_unknown")
        raise invalid(f"Invalid {where or 'request'}: {error.message[:200]}", where or None)

    def check_answer(self, method: str, path: str, body: Json) -> None:
        """Fail when the fake answers what Stripe would not."""
        if body.get("object") in {"list", "search_result"}:
            for row in body["data"]:
                check_object(row)
        elif not body.get("deleted"):
            check_object(body)

    def check_event(self, event: Json) -> None:
        """Fail when an event or what it tells of is not Stripe's."""
        check_object(event)
        check_object(event["data"]["object"], upcoming=event["type"] == "invoice.upcoming")


# What was found to be right: the same objects come again and again, in events and in answers,
# under other names, at other times and over other sums.
_fine: set[int] = set()
_NAME_OR_NUMBER = re.compile(r"(?<=_)(?=[a-z]*[0-9A-Z])[0-9A-Za-z]{10,}|\d+")


def check_object(thing: Json, *, upcoming: bool = False) -> None:
    """Fail when an object does not have the shape of its kind."""
    kind = thing.get("object")
    if kind in UNCHECKED or kind is None or thing.get("deleted"):
        return
    known = hash(_NAME_OR_NUMBER.sub("0", json.dumps(thing)))
    if known in _fine:
        return
    problems = errors_of(thing, kind)
    if upcoming and ("invoice", "id") in LACKING:
        problems = [text for text in problems if "'id' is a required property" not in text]
    if problems:
        raise ContractBroken(f"{kind} {thing.get('id')}: " + "; ".join(problems[:5]))
    _fine.add(known)


def errors_of(thing: Json, schema: str) -> list[str]:
    """Return what is wrong with an object of a schema."""
    return [
        f"{'.'.join(str(part) for part in error.absolute_path)}: {error.message[:300]}"
        for error in _validator(schema).iter_errors(thing)
    ]


def _named(validator: Any, name: str, instance: Any, schema: Json) -> Any:
    """Check by a schema of the specification, compiled once."""
    yield from _validator(name).iter_errors(instance)


@cache
def _kind() -> Any:
    from jsonschema import Draft202012Validator, validators

    return validators.extend(  # type: ignore[no-untyped-call]
        Draft202012Validator, {"$ref": _named}
    )


@cache
def _validator(schema: str) -> Any:
    spec = specification()
    assert spec is not None
    told = _translated(spec["components"]["schemas"][schema])
    for row in NEWER:
        if row.schema == schema:
            told["properties"][row.field] = {}
    return _kind()(told)


@cache
def _operations() -> list[tuple[str, re.Pattern[str], Json]]:
    spec = specification()
    assert spec is not None
    rows = []
    for path, methods in spec["paths"].items():
        pattern = re.compile("^" + re.sub(r"\{[^}]+\}", "[^/]+", path) + "$")
        for method, operation in methods.items():
            rows.append((method, pattern, operation, path.count("{")))
    # Plain addresses before those with names in them.
    return [row[:3] for row in sorted(rows, key=lambda row: row[3])]


@cache
def _operation(method: str, path: str) -> Any:
    """Return what checks the parameters of an address."""
    for verb, pattern, operation in _operations():
        if verb == method and pattern.match(path):
            return _parameters(operation["operationId"])
    return None


@cache
def _parameters(operation_id: str) -> Any:
    from jsonschema import Draft202012Validator

    operation = next(row[2] for row in _operations() if row[2]["operationId"] == operation_id)
    body = operation.get("requestBody", {}).get("content", {}).get(FORM, {}).get("schema")
    properties: Json = dict((body or {}).get("properties", {}))
    required = list((body or {}).get("required", []))
    for row in operation.get("parameters", []):
        if row["in"] == "query":
            properties[row["name"]] = row["schema"]
            if row.get("required"):
                required.append(row["name"])
    schema = _form({"type": "object", "properties": properties, "required": required})
    for asked in ASKED:
        if asked.operation == operation_id:
            schema["properties"].pop(asked.param, None)
            if asked.taken:
                schema["properties"][asked.param] = {}
    return Draft202012Validator(schema)


def _form(schema: Json) -> Json:
    """Return a schema for values that are texts still, as forms carry them."""
    kind = schema.get("type")
    if "anyOf" in schema:
        return {"anyOf": [_form(each) for each in schema["anyOf"]]}
    if kind == "object":
        told: Json = {"type": "object"}
        if "properties" in schema:
            told["properties"] = {key: _form(value) for key, value in schema["properties"].items()}
            told["additionalProperties"] = False
            told["required"] = schema.get("required", [])
        return told
    if kind == "array":
        return {"type": "array", "items": _form(schema["items"])}
    return {"enum": schema["enum"]} if "enum" in schema else PLAIN[kind or "string"]


def _translated(schema: Any) -> Any:
    """Return an OpenAPI 3.0 schema as JSON Schema: references by name, nullable as a type."""
    if isinstance(schema, list):
        return [_translated(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return {"$ref": schema["$ref"].rsplit("/", 1)[1]}
    told = {
        key: _translated(value)
        for key, value in schema.items()
        if key not in {"nullable", "description", "title", "properties"} and key[:2] != "x-"
    }
    if "properties" in schema:
        told["properties"] = {
            key: _translated(value) for key, value in schema["properties"].items()
        }
        # A field that the specification does not know is a mistake of ours.
        told.setdefault("additionalProperties", False)
    if schema.get("nullable"):
        if "enum" in told:
            told["enum"] = [*told["enum"], None]
        if "type" in told:
            told["type"] = [told["type"], "null"]
        elif "anyOf" in told:
            told["anyOf"] = [*told["anyOf"], {"type": "null"}]
    return told
