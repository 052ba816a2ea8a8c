#!/usr/bin/env python3
"""Writes Tests/PerdureFrontendTests/messages.tsv: random messages of Temporal's API, each as its name, its bytes in
base64 as the protobuf library of Temporal's Python SDK writes them, and the JSON that the engine has for it.

    pip install temporalio==1.35.0 googleapis-common-protos
    Tests/Conformance/write_messages.py > Tests/PerdureFrontendTests/messages.tsv
"""

import base64
import json
import pathlib
import random

from google.protobuf import any_pb2, duration_pb2, field_mask_pb2, symbol_database, timestamp_pb2, wrappers_pb2
from google.protobuf.descriptor import FieldDescriptor

import write_schema  # Imports Temporal's messages.

SCHEMA = pathlib.Path(__file__).parents[2] / "Sources/PerdureFrontend/Transcoding/temporal.schema"
SEED = 7233
TEXTS = ["", "a", "Überweisung 💸", 'quote " and \\ and\nline', "x" * 130]
JSON_DATA = [b'{"amount":5,"to":["a","b"]}', b'"text"', b"null", b"-12.50", b"[]", b'{"a":{"b":[true,false,1]}}']
# What jsonb would not give back as it was.
INEXACT_DATA = [b"1e5", b"-0", b'"\\u0000"', b'{"a":1,"a":2}', b"NaN", b"", b"[" * 120 + b"]" * 120,
                b'"\\ud800"', b"\xff"]


def pascal(value, enum):
    """EVENT_TYPE_TIMER_FIRED as TimerFired."""
    prefix = next((v.name[: -len("UNSPECIFIED")] for v in enum.values if v.name.endswith("UNSPECIFIED")), "")
    name = enum.values_by_number[value].name
    return "".join(word.capitalize() for word in name.removeprefix(prefix).split("_"))


def text_or_base64(value):
    try:
        text = value.decode()
    except UnicodeDecodeError:
        text = "\0"
    return {"base64": base64.b64encode(value).decode()} if "\0" in text else text


def payload_json(payload):
    metadata = {name: text_or_base64(value) for name, value in payload.metadata.items()}
    encoding = metadata.get("encoding", "")
    if isinstance(encoding, str) and encoding != "json/base64":
        metadata.pop("encoding", None)
    else:
        encoding = ""
    result = {"encoding": encoding}
    if encoding == "json/plain" and payload.data not in INEXACT_DATA:
        result["data"] = json.loads(payload.data)
    elif encoding == "json/plain":
        result = {"encoding": "json/base64", "data": base64.b64encode(payload.data).decode()}
    elif payload.data:
        result["data"] = base64.b64encode(payload.data).decode()
    if metadata:
        result["metadata"] = metadata
    if payload.external_payloads:
        result["externalPayloads"] = [{"sizeBytes": e.size_bytes} for e in payload.external_payloads]
    return result


def fraction(nanos):
    return f".{nanos:09}".rstrip("0") if nanos else ""


def to_json(message):
    name = message.DESCRIPTOR.full_name
    short = name.removeprefix("temporal.api.common.v1.")
    if short == "Payload":
        return payload_json(message)
    if short == "Payloads":
        return [payload_json(p) for p in message.payloads]
    if short in ("Memo", "Header"):
        return {key: payload_json(value) for key, value in message.fields.items()}
    if short == "SearchAttributes":
        return {key: json.loads(value.data or b"null") for key, value in message.indexed_fields.items()}
    if name == "google.protobuf.Timestamp":
        return message.ToDatetime().replace(microsecond=0).isoformat() + fraction(message.nanos) + "Z"
    if name == "google.protobuf.Duration":
        return f"{message.seconds}{fraction(message.nanos)}s"
    if name == "google.protobuf.FieldMask":
        return ",".join(message.paths)
    if name == "google.protobuf.DoubleValue":
        return message.value
    if name == "google.protobuf.Any":
        inner = message.type_url.split("/")[-1]
        kind = KINDS.get(inner)
        if kind is None:
            return {"@type": inner, "value": base64.b64encode(message.value).decode()}
        return {"@type": inner, **to_json(kind.FromString(message.value))}
    result = {}
    for field, value in message.ListFields():
        if field.full_name in LEFT_OUT:
            continue
        key = field.json_name
        if name in ("temporal.api.history.v1.HistoryEvent", "temporal.api.command.v1.Command"):
            if field.containing_oneof is not None and field.containing_oneof.name == "attributes":
                key = "attributes"
        result[key] = field_json(field, value)
    return result


def field_json(field, value):
    if write_schema.is_map(field):
        inner = field.message_type.fields_by_name["value"]
        return {str(key): single_json(inner, item) for key, item in value.items()}
    if field.is_repeated:
        return [single_json(field, item) for item in value]
    return single_json(field, value)


def single_json(field, value):
    if field.type == FieldDescriptor.TYPE_MESSAGE:
        return to_json(value)
    if field.type == FieldDescriptor.TYPE_ENUM:
        return pascal(value, field.enum_type)
    if field.type == FieldDescriptor.TYPE_BYTES:
        return base64.b64encode(value).decode()
    return value


def fill(message, chance, depth):
    """Sets each field with a probability."""
    name = message.DESCRIPTOR.full_name
    if name == "temporal.api.common.v1.Payload":
        return fill_payload(message, chance)
    if isinstance(message, timestamp_pb2.Timestamp):
        message.seconds = chance.choice([0, 1, -1, 951782400, chance.randrange(-(2**35), 2**37)])
        message.nanos = chance.choice([0, 1000, 123456789])
        return None
    if isinstance(message, duration_pb2.Duration):
        message.seconds = chance.choice([0, 1, 86400 * 36525])
        message.nanos = chance.choice([0, 250_000_000, 1])
        return None
    if isinstance(message, field_mask_pb2.FieldMask):
        message.paths.extend(chance.sample(["activity_options", "task_queue", "retry_policy.maximum_attempts"], 2))
        return None
    if isinstance(message, wrappers_pb2.DoubleValue):
        message.value = chance.choice([0.0, 2.5])
        return None
    if isinstance(message, any_pb2.Any):
        kind = KINDS["temporal.api.update.v1.Request"]
        inner = kind()
        fill(inner, chance, depth + 1)
        message.type_url = "type.googleapis.com/" + chance.choice([kind.DESCRIPTOR.full_name, "bank.v1.Unknown"])
        message.value = inner.SerializeToString(deterministic=True)
        return None
    tagged = {"temporal.api.history.v1.HistoryEvent": "event_type", "temporal.api.command.v1.Command": "command_type"}
    chosen = None
    if name in tagged:
        oneof = message.DESCRIPTOR.oneofs_by_name["attributes"]
        chosen = chance.choice([f for f in oneof.fields if f.full_name not in LEFT_OUT])
        kind = message.DESCRIPTOR.fields_by_name[tagged[name]]
        suffix = "_event_attributes" if "Event" in name else "_command_attributes"
        value = f"{tagged[name].upper()}_{chosen.name.removesuffix(suffix).upper()}"
        setattr(message, kind.name, kind.enum_type.values_by_name[value].number)
    for field in message.DESCRIPTOR.fields:
        if field.full_name in LEFT_OUT or field.name in tagged.values():
            continue
        oneof = field.containing_oneof
        if oneof is not None and len(oneof.fields) > 1:
            if chosen is None or chosen.containing_oneof is not oneof:
                chosen = chance.choice([f for f in oneof.fields if f.full_name not in LEFT_OUT])
            if field.number != chosen.number:
                continue
        elif chance.random() < (0.3 if depth == 0 else 0.6):
            continue
        if depth > 3 and field.message_type is not None:
            continue
        fill_field(message, field, chance, depth)
    return None


def fill_field(message, field, chance, depth):
    target = getattr(message, field.name)
    if write_schema.is_map(field):
        entry = field.message_type.fields_by_name
        keys = [1, 2] if entry["key"].type != FieldDescriptor.TYPE_STRING else ["a", "key 2"]
        for key in keys:
            if entry["value"].message_type is not None:
                (fill_search_attribute(target[key], chance) if "SearchAttributes" in message.DESCRIPTOR.full_name
                 else fill(target[key], chance, depth + 1))
            else:
                target[key] = scalar(entry["value"], chance)
    elif field.is_repeated:
        for _ in range(chance.randrange(0, 3)):
            if field.message_type is not None:
                fill(target.add(), chance, depth + 1)
            else:
                target.append(scalar(field, chance))
    elif field.message_type is not None:
        target.SetInParent()
        fill(target, chance, depth + 1)
    else:
        setattr(message, field.name, scalar(field, chance))


def fill_search_attribute(payload, chance):
    payload.metadata["encoding"] = b"json/plain"
    payload.data = chance.choice([b'"kw"', b"12", b"1.5", b"true", b'["a","b"]'])


def fill_payload(payload, chance):
    encoding = chance.choice([b"json/plain", b"json/plain", b"binary/null", b"binary/plain", b"json/protobuf",
                              b"json/base64", b"\xff", None])
    if encoding is not None:
        payload.metadata["encoding"] = encoding
    if chance.random() < 0.3:
        payload.metadata["messageType"] = b"bank.v1.Transfer"
    if chance.random() < 0.2:
        payload.metadata["key"] = b"\x00\xfe"
    if encoding == b"json/plain":
        payload.data = chance.choice(JSON_DATA + JSON_DATA + INEXACT_DATA)
    elif encoding != b"binary/null":
        payload.data = chance.choice([b"", b"\x00\x01\xff", b"text"])


def scalar(field, chance):
    if field.type == FieldDescriptor.TYPE_ENUM:
        # Of two names for one number the first is the one that is read.
        return chance.choice([v.number for v in field.enum_type.values])
    if field.type == FieldDescriptor.TYPE_STRING:
        return chance.choice(TEXTS)
    if field.type == FieldDescriptor.TYPE_BYTES:
        return chance.choice([b"", b"\x00\x01\xff"])
    if field.type == FieldDescriptor.TYPE_BOOL:
        return chance.random() < 0.7
    if field.type in (FieldDescriptor.TYPE_DOUBLE, FieldDescriptor.TYPE_FLOAT):
        return chance.choice([0.0, 2.0, 0.5, -1.25])
    if field.type in (FieldDescriptor.TYPE_UINT32, FieldDescriptor.TYPE_UINT64):
        return chance.choice([0, 1, 300, 2**32 - 1])
    bits = 31 if field.type == FieldDescriptor.TYPE_INT32 else 63
    return chance.choice([0, 1, -1, 127, 128, 2**bits - 1, -(2**bits)])


def main():
    chance = random.Random(SEED)
    for name, kind in sorted(KINDS.items()):
        for _ in range(40 if name.endswith((".HistoryEvent", ".Command", ".Failure", ".Payload")) else 2):
            message = kind()
            fill(message, chance, 0)
            content = message.SerializeToString(deterministic=True)
            print(name, base64.b64encode(content).decode(), json.dumps(to_json(message), ensure_ascii=False), sep="\t")


names = [line.split()[1] for line in SCHEMA.read_text().splitlines() if line.startswith("message ")]
POOL = symbol_database.Default().pool
from google.protobuf import message_factory  # noqa: E402

KINDS = {name: message_factory.GetMessageClass(POOL.FindMessageTypeByName(name)) for name in names}
LEFT_OUT = {
    field.full_name for kind in KINDS.values() for field in kind.DESCRIPTOR.fields if write_schema.is_left_out(field)
}
if __name__ == "__main__":
    main()
