#!/usr/bin/env python3
"""Writes Sources/PerdureFrontend/Transcoding/temporal.schema: the messages, fields, numbers and types of Temporal's API
that the frontend speaks, read from the descriptors in the temporalio package.

    pip install temporalio==1.35.0 googleapis-common-protos
    Tests/Conformance/write_schema.py > Sources/PerdureFrontend/Transcoding/temporal.schema
"""

import importlib.metadata

from google.protobuf.descriptor import FieldDescriptor
from temporalio.api.errordetails.v1 import message_pb2 as errordetails
from temporalio.api.operatorservice.v1 import service_pb2 as operator
from temporalio.api.sdk.v1 import user_metadata_pb2, workflow_metadata_pb2
from temporalio.api.update.v1 import message_pb2 as update
from temporalio.api.workflowservice.v1 import service_pb2 as workflow

# What these hold is left out: features that Perdure does not have. A reader skips fields that it does not know.
LEFT_OUT = tuple(
    f"temporal.api.{package}."
    for package in (
        "callback compute deployment nexus nexusservices rules worker".split()
    )
)
KEPT_TYPES = {"temporal.api.deployment.v1.WorkerDeploymentOptions"}
LEFT_OUT_TYPES = {
    "temporal.api.common.v1.Callback",
    "temporal.api.common.v1.FastForwardConfig",
    "temporal.api.common.v1.MeteringMetadata",
    "temporal.api.common.v1.TimeSkippingConfig",
    "temporal.api.common.v1.TimeSkippingFastForwardInfo",
    "temporal.api.taskqueue.v1.TaskQueueVersioningInfo",
    "temporal.api.workflow.v1.CallbackInfo",
    "temporal.api.workflow.v1.NexusOperationCancellationInfo",
    "temporal.api.workflow.v1.PendingNexusOperationInfo",
    "temporal.api.workflow.v1.TimeSkippingConfig",
    "temporal.api.workflow.v1.VersioningOverride",
    "temporal.api.workflow.v1.WorkflowExecutionVersioningInfo",
}
LEFT_OUT_METHODS = ("Deployment", "Nexus", "Worker", "Rule", "ComputeConfig", "ActivityExecution", "Versioning",
                    "BuildId", "Compatibility", "RemoteCluster")
KEPT_METHODS = (
    "PollNexusTaskQueue", "ShutdownWorker", "PauseActivityExecution", "UnpauseActivityExecution",
    "ResetActivityExecution", "UpdateActivityExecutionOptions",
)

SCALARS = {
    FieldDescriptor.TYPE_BOOL: "bool",
    FieldDescriptor.TYPE_BYTES: "bytes",
    FieldDescriptor.TYPE_DOUBLE: "double",
    FieldDescriptor.TYPE_FLOAT: "float",
    FieldDescriptor.TYPE_INT32: "int32",
    FieldDescriptor.TYPE_INT64: "int64",
    FieldDescriptor.TYPE_STRING: "string",
    FieldDescriptor.TYPE_UINT32: "uint32",
    FieldDescriptor.TYPE_UINT64: "uint64",
}


def is_kept(method):
    return method.name in KEPT_METHODS or not any(word in method.name for word in LEFT_OUT_METHODS)


def is_map(field):
    return field.message_type is not None and field.message_type.GetOptions().map_entry


def is_left_out(field):
    if is_map(field):
        return is_left_out(field.message_type.fields_by_name["value"])
    kind = field.message_type or field.enum_type
    return kind is not None and kind.full_name not in KEPT_TYPES and (
        kind.full_name in LEFT_OUT_TYPES or kind.full_name.startswith(LEFT_OUT))


def type_name(field):
    kind = field.message_type or field.enum_type
    return SCALARS[field.type] if kind is None else kind.full_name


def line(field):
    if is_map(field):
        entry = field.message_type.fields_by_name
        kind = f"map {type_name(entry['key'])} {type_name(entry['value'])}"
    elif field.is_repeated:
        kind = f"repeated {type_name(field)}"
    # Of these it is known whether they are set, even to the default of their type.
    elif field.containing_oneof is not None:
        kind = f"optional {type_name(field)}"
    else:
        kind = f"single {type_name(field)}"
    return f"{field.number} {field.json_name} {kind}"


def main():
    every = [
        method
        for module in (workflow, operator)
        for service in module.DESCRIPTOR.services_by_name.values()
        for method in service.methods
    ]
    methods = [method for method in every if is_kept(method)]
    waiting = [kind for method in methods for kind in (method.input_type, method.output_type)]
    for module in (errordetails, update, user_metadata_pb2, workflow_metadata_pb2):
        waiting += module.DESCRIPTOR.message_types_by_name.values()
    messages, enums = {}, {}
    while waiting:
        message = waiting.pop()
        if message.full_name in messages or message.full_name.startswith("google."):
            continue
        messages[message.full_name] = message
        for field in message.fields:
            if is_left_out(field):
                continue
            kinds = [field]
            if is_map(field):
                kinds = [field.message_type.fields_by_name["value"]]
            for kind in kinds:
                if kind.message_type is not None:
                    waiting.append(kind.message_type)
                if kind.enum_type is not None:
                    enums[kind.enum_type.full_name] = kind.enum_type
    print(f"# Temporal's API as temporalio {importlib.metadata.version('temporalio')} has it. "
          "Tests/Conformance/write_schema.py writes this file.")
    print("# method PATH REQUEST RESPONSE; absent PATH, of a method that is not there yet; "
          "enum NAME, then NUMBER VALUE; message NAME, then NUMBER NAME KIND TYPE.")
    for method in sorted(methods, key=lambda m: m.full_name):
        service = method.containing_service.full_name
        print(f"method {service}/{method.name} {method.input_type.full_name} {method.output_type.full_name}")
    for method in sorted((method for method in every if not is_kept(method)), key=lambda m: m.full_name):
        print(f"absent {method.containing_service.full_name}/{method.name}")
    for name in sorted(enums):
        print(f"enum {name}")
        for value in enums[name].values:
            print(value.number, value.name)
    for name in sorted(messages):
        print(f"message {name}")
        for field in messages[name].fields:
            if not is_left_out(field):
                print(line(field))


if __name__ == "__main__":
    main()
