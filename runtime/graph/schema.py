"""The messages of graph files, described at run time for the protobuf library: field names and numbers are facts.

`describe` reads a notation close to .proto: two blanks of indentation a level, no braces or semicolons, every field
optional unless `repeated`, `packed` where repeated numbers lie side by side, and `extends` for the extension through
which options messages hang in graph files:

    message GateCalculatorOptions extends CalculatorOptions at 261754847
      bool allow = 2 default false
      enum State NONE=0 ON=1
      State state = 3 default NONE

Messages lie in a pool of their own, so that they do not clash with another package that has described the same.
"""

from __future__ import annotations

import re
from typing import Any

from google.protobuf import any_pb2, descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import Message

from pocketgraph.models.errors import UsageError

POOL = descriptor_pool.DescriptorPool()
PACKAGE = "mediapipe"
UNREAD_TEXT, UNREAD_BYTES = 536_870_910, 536_870_911
"""Fields in which messages of options keep what their schema does not know; the highest numbers there are."""

_Field = descriptor_pb2.FieldDescriptorProto
_SCALARS = {
    kind: getattr(_Field, f"TYPE_{kind.upper()}")
    for kind in ("double", "float", "int64", "uint64", "int32", "uint32", "bool", "string", "bytes", "sint32", "sint64")
}
_FIELD = re.compile(r"(repeated )?([\w.]+) (\w+) = (\d+)(?: default (\S+))?( packed)?")
_MESSAGE = re.compile(r"message (\w+)(?: extends (\w+) at (\d+))?( packs others)?")

GRAPH_MESSAGES = """
message CalculatorOptions packs others
  bool merge_fields = 1
message MediaPipeOptions packs others
message PacketGeneratorOptions packs others
  bool merge_fields = 1
message PacketFactoryOptions packs others
message ExecutorConfig
  string name = 1
  string type = 2
  MediaPipeOptions options = 3
message InputStreamInfo
  string tag_index = 1
  bool back_edge = 2
message InputStreamHandlerConfig
  string input_stream_handler = 1 default DefaultInputStreamHandler
  MediaPipeOptions options = 3
message OutputStreamHandlerConfig
  string output_stream_handler = 1 default InOrderOutputStreamHandler
  repeated string input_side_packet = 2
  MediaPipeOptions options = 3
message PacketFactoryConfig
  string packet_factory = 1
  string output_side_packet = 2
  string external_output = 1002
  PacketFactoryOptions options = 3
message PacketGeneratorConfig
  string packet_generator = 1
  repeated string input_side_packet = 2
  repeated string external_input = 1002
  repeated string output_side_packet = 3
  repeated string external_output = 1003
  PacketGeneratorOptions options = 4
message StatusHandlerConfig
  string status_handler = 1
  repeated string input_side_packet = 2
  repeated string external_input = 1002
  MediaPipeOptions options = 3
message ProfilerConfig
  int64 histogram_interval_size_usec = 1
  int64 num_histogram_intervals = 2
  bool enable_input_output_latency = 3
  bool enable_profiler = 4
  bool enable_stream_latency = 5
  bool use_packet_timestamp_for_added_packet = 6
  int64 trace_log_capacity = 7
  repeated int32 trace_event_types_disabled = 8
  string trace_log_path = 9
  int32 trace_log_count = 10
  int64 trace_log_interval_usec = 11
  int64 trace_log_margin_usec = 12
  bool trace_log_duration_events = 13
  int32 trace_log_interval_count = 14
  bool trace_log_disabled = 15
  bool trace_enabled = 16
  bool trace_log_instant_events = 17
  string calculator_filter = 18
message GraphRuntimeInfoConfig
  bool enable_graph_runtime_info = 1
  uint32 capture_period_msec = 2
message CalculatorGraphConfig
  message Node
    string name = 1
    string calculator = 2
    repeated string input_stream = 3
    repeated string output_stream = 4
    repeated string input_side_packet = 5
    repeated string output_side_packet = 6
    CalculatorOptions options = 7
    repeated google.protobuf.Any node_options = 8
    int32 source_layer = 9
    int32 buffer_size_hint = 10
    InputStreamHandlerConfig input_stream_handler = 11
    OutputStreamHandlerConfig output_stream_handler = 12
    repeated InputStreamInfo input_stream_info = 13
    string executor = 14
    ProfilerConfig profiler_config = 15
    int32 max_in_flight = 16
    repeated string option_value = 17
    repeated string external_input = 1005
  repeated Node node = 1
  repeated PacketFactoryConfig packet_factory = 6
  repeated PacketGeneratorConfig packet_generator = 7
  int32 num_threads = 8
  repeated StatusHandlerConfig status_handler = 9
  repeated string input_stream = 10
  int32 max_queue_size = 11
  InputStreamHandlerConfig input_stream_handler = 12
  OutputStreamHandlerConfig output_stream_handler = 13
  repeated ExecutorConfig executor = 14
  repeated string output_stream = 15
  repeated string input_side_packet = 16
  repeated string output_side_packet = 17
  ProfilerConfig profiler_config = 18
  string package = 19
  string type = 20
  bool report_deadlock = 21
  GraphRuntimeInfoConfig runtime_info = 22
  MediaPipeOptions options = 1001
  repeated google.protobuf.Any graph_options = 1002
"""


def describe(text: str, file: str) -> list[str]:
    """Add the messages of `text` to the pool; returns their full names, outermost only. Raises `UsageError`."""
    proto = descriptor_pb2.FileDescriptorProto(name=file, package=PACKAGE, syntax="proto2")
    proto.dependency.extend(_files)
    levels: list[Any] = [proto]
    enums: set[str] = set()
    for line in filter(None, map(str.rstrip, text.split("\n"))):
        depth = (len(line) - len(line.lstrip())) // 2
        del levels[depth + 1 :]
        content = line.strip()
        if content.startswith("message "):
            levels.append(_message(content, levels[-1], ".".join([PACKAGE, *(level.name for level in levels[1:])])))
        elif content.startswith("enum "):
            _, name, *values = content.split()
            enum = levels[-1].enum_type.add(name=name)
            enums.add(name)
            for value in values:
                label, _, number = value.partition("=")
                enum.value.add(name=label, number=int(number))
        else:
            _field(content, levels, enums)
    try:
        POOL.Add(proto)
    except TypeError as error:
        raise UsageError(f"the messages of {file} cannot be described: {error}") from error
    _files.append(file)
    return [f"{PACKAGE}.{message.name}" for message in proto.message_type]


def _message(content: str, parent: Any, scope: str) -> Any:
    match = _MESSAGE.fullmatch(content)
    if match is None:
        raise UsageError(f'"{content}" does not describe a message')
    name, base, number, packs = match.groups()
    nested = parent.message_type if isinstance(parent, descriptor_pb2.FileDescriptorProto) else parent.nested_type
    message = nested.add(name=name)
    if base:
        message.extension.add(
            name="ext", number=int(number), extendee=f".{PACKAGE}.{base}", label=_Field.LABEL_OPTIONAL,
            type=_Field.TYPE_MESSAGE, type_name=f".{scope}.{name}",
        )  # fmt: skip
    if packs:
        message.extension_range.add(start=20_000, end=UNREAD_TEXT)
        for unread, field in ((UNREAD_TEXT, "unread_text"), (UNREAD_BYTES, "unread_bytes")):
            message.field.add(name=field, number=unread, label=_Field.LABEL_REPEATED, type=_Field.TYPE_BYTES)
    return message


def _field(content: str, levels: list[Any], enums: set[str]) -> None:
    match = _FIELD.fullmatch(content)
    if match is None:
        raise UsageError(f'"{content}" does not describe a field')
    repeated, kind, name, number, default, packed = match.groups()
    label = _Field.LABEL_REPEATED if repeated else _Field.LABEL_OPTIONAL
    field = levels[-1].field.add(name=name, number=int(number), label=label)
    if kind in _SCALARS:
        field.type = _SCALARS[kind]
    else:
        field.type = _Field.TYPE_ENUM if kind in enums or _is_described_enum(kind) else _Field.TYPE_MESSAGE
        field.type_name = _full_name(kind, levels)
    if default is not None:
        field.default_value = default
    if packed:
        field.options.packed = True


def _is_described_enum(kind: str) -> bool:
    """Whether `kind` is an enumeration of an earlier description, as `GpuOrigin.Mode` is."""
    try:
        POOL.FindEnumTypeByName(f"{PACKAGE}.{kind}")
    except KeyError:
        return False
    return True


def _full_name(kind: str, levels: list[Any]) -> str:
    """Where a message or enumeration was described: in the messages around the field, or at the top."""
    if kind.startswith("google."):
        return f".{kind}"
    scope = [level.name for level in levels[1:]]
    for end in range(len(scope), 0, -1):
        inner = levels[end]
        if any(item.name == kind for item in [*inner.nested_type, *inner.enum_type]):
            return ".".join(["", PACKAGE, *scope[:end], kind])
    return f".{PACKAGE}.{kind}"


def message_class(name: str) -> type[Message]:
    """The class of the message with this full name. Raises KeyError where nobody described it."""
    return message_factory.GetMessageClass(POOL.FindMessageTypeByName(name))


_files: list[str] = []
POOL.AddSerializedFile(any_pb2.DESCRIPTOR.serialized_pb)
_files.append(any_pb2.DESCRIPTOR.name)
describe(GRAPH_MESSAGES, "pocketgraph/graph.proto")

CalculatorGraphConfig: Any = message_class("mediapipe.CalculatorGraphConfig")
Node: Any = message_class("mediapipe.CalculatorGraphConfig.Node")
