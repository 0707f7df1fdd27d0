"""The messages of KEDA's external scaler, as far as they are on the wire.

Names and numbers of fields are those of https://keda.sh/docs/latest/concepts/external-scalers/
(read 2026-11, KEDA 2.21); they are put together here, so no file is compiled.
"""

from __future__ import annotations

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory


PACKAGE = "externalscaler"
SERVICE = f"{PACKAGE}.ExternalScaler"
_Field = descriptor_pb2.FieldDescriptorProto
_KINDS = {
    "string": _Field.TYPE_STRING,
    "bool": _Field.TYPE_BOOL,
    "int64": _Field.TYPE_INT64,
    "double": _Field.TYPE_DOUBLE,
}
MESSAGES: dict[str, dict[int, tuple[str, str]]] = {
    "ScaledObjectRef": {1: ("name", "string"), 2: ("namespace", "string"), 3: ("scalerMetadata", "repeated ScaledObjectRef.ScalerMetadataEntry")},
    "IsActiveResponse": {1: ("result", "bool")},
    "GetMetricSpecResponse": {1: ("metricSpecs", "repeated MetricSpec")},
    "MetricSpec": {1: ("metricName", "string"), 2: ("targetSize", "int64"), 3: ("targetSizeFloat", "double")},
    "GetMetricsRequest": {1: ("scaledObjectRef", "ScaledObjectRef"), 2: ("metricName", "string")},
    "GetMetricsResponse": {1: ("metricValues", "repeated MetricValue")},
    "MetricValue": {1: ("metricName", "string"), 2: ("metricValue", "int64"), 3: ("metricValueFloat", "double")},
}  # fmt: skip
"""By message and number: the field's name and kind."""


def _add(message: Any, number: int, name: str, kind: str) -> None:
    one = message.field.add(name=name, number=number, label=_Field.LABEL_OPTIONAL)
    word = kind.removeprefix("repeated ")
    if word != kind:
        one.label = _Field.LABEL_REPEATED
    if word in _KINDS:
        one.type = _KINDS[word]
    else:
        one.type, one.type_name = _Field.TYPE_MESSAGE, f".{PACKAGE}.{word}"


def _pool() -> Any:
    """Describe the messages in a pool of our own, where nobody else's can be in the way."""
    file = descriptor_pb2.FileDescriptorProto(name="lightmeter/keda", package=PACKAGE, syntax="proto3")  # fmt: skip
    for name, fields in MESSAGES.items():
        message = file.message_type.add(name=name)
        for number, (field, kind) in fields.items():
            _add(message, number, field, kind)
    entry = file.message_type[0].nested_type.add(name="ScalerMetadataEntry")
    entry.options.map_entry = True
    for number, field in enumerate(("key", "value"), 1):
        _add(entry, number, field, "string")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return pool


_POOL = _pool()
ScaledObjectRef, IsActiveResponse, GetMetricSpecResponse, MetricSpec, GetMetricsRequest, GetMetricsResponse, MetricValue = (
    message_factory.GetMessageClass(_POOL.FindMessageTypeByName(f"{PACKAGE}.{name}")) for name in MESSAGES
)  # fmt: skip
