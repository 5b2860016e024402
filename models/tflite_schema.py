"""TFLite's schema (file identifier TFL3), declared: its tables, its enumerations, and each operator's options.

The notation: `Table: field:type=default …`, continuation lines indented. `[type]` is a vector, `@Enum` an enumeration
stored in a byte (`@Enum/int32` in four), `<Enum>` a union of the tables the enumeration names.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from pocketgraph.models.errors import UnsupportedError
from pocketgraph.models.flatbuffer import Field, Schema
from pocketgraph.models.tflite_options import ENUMS, OPTION_TABLES, WITHOUT_FIELDS

if TYPE_CHECKING:
    from pocketgraph.models.graph import Op

_FILE_TABLES = """
Model: version:uint32 operator_codes:[OperatorCode] subgraphs:[SubGraph] description:string buffers:[Buffer]
    metadata_buffer:[int32] metadata:[Metadata] signature_defs:[SignatureDef]
    external_buffer_groups:[ExternalBufferGroup] external_buffers:[ExternalBuffer]
SubGraph: tensors:[Tensor] inputs:[int32] outputs:[int32] operators:[Operator] name:string
    debug_metadata_index:int32=-1
Tensor: shape:[int32] type:@TensorType buffer:uint32 name:string quantization:QuantizationParameters
    is_variable:bool sparsity:SparsityParameters shape_signature:[int32] has_rank:bool
    variant_tensors:[VariantSubType] external_buffer:uint32
VariantSubType: shape:[int32] type:@TensorType has_rank:bool
Buffer: data:[uint8] offset:uint64 size:uint64
QuantizationParameters: min:[float32] max:[float32] scale:[float32] zero_point:[int64] details:<QuantizationDetails>
    quantized_dimension:int32
CustomQuantization: custom:[uint8]
BlockwiseQuantization: scales:int32 zero_points:int32 block_size:int32 block_shape:[int32]
MultiAxisQuantization: scales:int32 zero_points:int32 block_size:int32 quantized_dimensions:[int32]
SparsityParameters: traversal_order:[int32] block_map:[int32] dim_metadata:[DimensionMetadata]
DimensionMetadata: format:@DimensionType dense_size:int32 array_segments:<SparseIndexVector>
    array_indices:<SparseIndexVector>
Int32Vector: values:[int32]
Uint16Vector: values:[uint16]
Uint8Vector: values:[uint8]
OperatorCode: deprecated_builtin_code:int8 custom_code:string version:int32=1 builtin_code:@BuiltinOperator/int32
Operator: opcode_index:uint32 inputs:[int32] outputs:[int32] builtin_options:<BuiltinOptions> custom_options:[uint8]
    custom_options_format:@CustomOptionsFormat mutating_variable_inputs:[bool] intermediates:[int32]
    large_custom_options_offset:uint64 large_custom_options_size:uint64 builtin_options_2:<BuiltinOptions2>
    debug_metadata_index:int32=-1
Metadata: name:string buffer:uint32
SignatureDef: inputs:[TensorMap] outputs:[TensorMap] signature_key:string deprecated_tag:string
    subgraph_index:uint32
TensorMap: name:string tensor_index:uint32
ExternalBufferGroup: name:string
ExternalBuffer: id:uint32 group:uint32 offset:uint64 length:uint64 packing:string
"""

_OTHER_OPTIONS = {
    "AVERAGE_POOL_2D": "Pool2DOptions",
    "CONV_3D_TRANSPOSE": "Conv3DOptions",
    "L2_NORMALIZATION": "L2NormOptions",
    "L2_POOL_2D": "Pool2DOptions",
    "MAXIMUM": "MaximumMinimumOptions",
    "MAX_POOL_2D": "Pool2DOptions",
    "MEAN": "ReducerOptions",
    "MINIMUM": "MaximumMinimumOptions",
    "MULTINOMIAL": "RandomOptions",
    "RANDOM_STANDARD_NORMAL": "RandomOptions",
    "RANDOM_UNIFORM": "RandomOptions",
    "REDUCE_ALL": "ReducerOptions",
    "REDUCE_ANY": "ReducerOptions",
    "REDUCE_MAX": "ReducerOptions",
    "REDUCE_MIN": "ReducerOptions",
    "REDUCE_PROD": "ReducerOptions",
    "SUM": "ReducerOptions",
    "UNIDIRECTIONAL_SEQUENCE_RNN": "SequenceRNNOptions",
}


def _entries(text: str) -> Iterator[tuple[str, list[str]]]:
    for line in text.replace("\n    ", " ").strip().splitlines():
        name, _, words = line.partition(":")
        yield name, words.split()


def _enum(words: list[str]) -> dict[str, int]:
    numbers: dict[str, int] = {}
    following = 0
    for word in words:
        name, _, number = word.partition("=")
        numbers[name] = int(number or following)
        following = numbers[name] + 1
    return numbers


def _field(word: str) -> Field:
    name, _, rest = word.partition(":")
    kind, _, default = rest.partition("=")
    if kind.startswith("<"):
        return Field(name, "uint8", union=kind[1:-1])
    if kind.startswith("@"):
        enum, _, storage = kind[1:].partition("/")
        return Field(name, storage or "int8", int(default or 0), enum=enum)
    if kind == "bool":
        return Field(name, kind, default == "1")
    return Field(name, kind, float(default or 0) if kind.startswith("float") else int(default or 0))


_enums = {name: _enum(words) for name, words in _entries(ENUMS)}
_tables = {name: tuple(map(_field, words)) for text in (_FILE_TABLES, OPTION_TABLES) for name, words in _entries(text)}
_tables |= dict.fromkeys(WITHOUT_FIELDS.split(), ())

SCHEMA = Schema(_tables, _enums, root="Model", identifier=b"TFL3", aligned=("Buffer", "data"))
OPERATORS = _enums["BuiltinOperator"]
"""Builtin operator name -> code."""


@functools.cache
def options_table(kind: str) -> str | None:
    """The option table of a builtin operator, None where it has none. Raises `UnsupportedError` for no operator."""
    if kind not in OPERATORS:
        raise UnsupportedError(f"{kind!r} is no TFLite operator")
    if kind in _OTHER_OPTIONS:
        return _OTHER_OPTIONS[kind]
    return _BY_PLAIN_NAME.get(kind.replace("_", "").lower())


_BY_PLAIN_NAME = {name.removesuffix("Options").lower(): name for name in _tables if name.endswith("Options")}


@functools.cache
def option_fields(kind: str) -> dict[str, tuple[str, Any]]:
    """Option name -> (type, default) of a builtin operator. The type of an enumerated option is the enumeration."""
    table = options_table(kind)
    fields = _tables[table] if table else ()
    return {field.name: (field.enum or field.kind, _default(field)) for field in fields}


def _default(field: Field) -> Any:
    if field.enum is not None:
        return next(name for name, number in _enums[field.enum].items() if number == field.default)
    return None if field.kind.startswith("[") or field.kind == "string" else field.default


def complete_attrs(op: Op) -> dict[str, Any]:
    """The op's attributes with the schema's defaults where they are absent."""
    return {name: default for name, (_, default) in option_fields(op.kind).items()} | op.attrs
