"""The declared schema and the codec agree with the classes that LiteRT generates from the format's own schema."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
import pytest

from pocketgraph.models import zoo
from pocketgraph.models.flatbuffer import Field, Reader, Writer
from pocketgraph.models.graph import DType
from pocketgraph.models.tflite_read import read_tflite
from pocketgraph.models.tflite_schema import OPERATORS, SCHEMA, complete_attrs, option_fields, options_table
from pocketgraph.models.tflite_write import write_tflite

generated = importlib.import_module("ai_edge_litert.schema_py_generated")
WHEEL_MODELS = [name for name in zoo.names() if zoo.entry(name).package == "mediapipe"]
GENERATED_ENUMS = {"Activation": "ActivationFunctionType", "WeightsFormat": "FullyConnectedOptionsWeightsFormat"}
DEPRECATED = {
    ("ResizeBilinearOptions", "new_height"),
    ("ResizeBilinearOptions", "new_width"),
    ("SignatureDef", "deprecated_tag"),
}
"""Fields that old files carry and the generated classes have no name for."""


def fields_of(instance: Any) -> dict[str, Any]:
    return {name.replace("_", "").lower(): value for name, value in vars(instance).items()}


def differences(table: str, ours: dict[str, Any] | None, theirs: Any, where: str) -> list[str]:
    """Paths at which a decoded table and the generated object disagree."""
    if ours is None or theirs is None:
        return [] if ours is None and theirs is None else [f"{where}: {ours} / {theirs}"]
    if type(theirs).__name__ != table + "T":
        return [f"{where}: {table} / {type(theirs).__name__}"]
    values, found = fields_of(theirs), []
    for field in SCHEMA.tables[table]:
        if (table, field.name) in DEPRECATED:
            continue
        mine, other = ours[field.name], values[field.name.replace("_", "")]
        label = f"{where}.{field.name}"
        if field.union is not None:
            found += differences(mine[0], mine[1], other, label) if mine else [label] * (other is not None)
        elif field.kind.strip("[]") in SCHEMA.tables:
            pairs = [(mine, other)] if field.kind in SCHEMA.tables else list(zip(mine or [], other or [], strict=True))
            for i, (one, two) in enumerate(pairs):
                found += differences(field.kind.strip("[]"), one, two, f"{label}[{i}]")
        elif field.kind == "string":
            found += [label] * ((mine or "") != (other or b"").decode())
        elif field.kind.startswith("["):
            found += [label] * (not np.array_equal([] if mine is None else mine, [] if other is None else other))
        else:
            found += [label] * ((SCHEMA.enums[field.enum][mine] if field.enum else mine) != other)
    return found


def sample(field: Field) -> Any:
    """A value that is not the field's default."""
    if field.union is not None:
        table = next(name for name in SCHEMA.enums[field.union] if name != "NONE")
        return table, {}
    if field.enum is not None:
        return list(SCHEMA.enums[field.enum])[-1]
    kind = field.kind.strip("[]")
    one: Any = {"string": "text", "bool": not field.default, "float32": 2.5}.get(kind, 3)
    if kind in SCHEMA.tables:
        one = {}
    return [one, one] if field.kind.startswith("[") else one


@pytest.mark.parametrize("table", SCHEMA.tables)
def test_every_field_lands_where_the_generated_class_looks(table: str) -> None:
    """Oracle: the generated classes, on a table with each field away from its default, and on an empty one."""
    schema = type(SCHEMA)(SCHEMA.tables, SCHEMA.enums, table, b"TFL3", SCHEMA.aligned)
    for content in ({field.name: sample(field) for field in SCHEMA.tables[table]}, {}):
        data = Writer(schema).root(content)
        cls = getattr(generated, table)
        oracle = getattr(generated, table + "T").InitFromObj(cls.GetRootAs(data))
        assert differences(table, Reader(data, schema).root(), oracle, table) == []


def test_the_generated_classes_have_no_table_field_or_enumeration_that_is_not_declared() -> None:
    theirs = {name for name in vars(generated) if hasattr(generated, name + "T") and name != "BuiltinOptions"}
    assert theirs - {"StablehloPrecisionConfig"} == set(SCHEMA.tables)
    for table, fields in SCHEMA.tables.items():
        declared = {field.name.replace("_", "") for field in fields if (table, field.name) not in DEPRECATED}
        declared |= {field.name.replace("_", "") + "type" for field in fields if field.union}
        assert set(fields_of(getattr(generated, table + "T")())) == declared, table
    for enum, numbers in SCHEMA.enums.items():
        members = vars(getattr(generated, GENERATED_ENUMS.get(enum, enum)))
        assert {name: value for name, value in members.items() if not name.startswith("_")} == numbers, enum


def test_every_option_table_but_reserved_ones_belongs_to_an_operator() -> None:
    used = {options_table(kind) for kind in OPERATORS}
    tables = {name for union in ("BuiltinOptions", "BuiltinOptions2") for name in SCHEMA.enums[union]}
    assert used - {None} == tables - {"NONE"}


def test_every_element_type_has_a_name_of_ours() -> None:
    assert {name.lower() for name in SCHEMA.enums["TensorType"]} == {dtype.value for dtype in DType}


def test_options_come_with_type_and_default() -> None:
    assert option_fields("CONV_2D") == {
        "padding": ("Padding", "SAME"),
        "stride_w": ("int32", 0),
        "stride_h": ("int32", 0),
        "fused_activation_function": ("Activation", "NONE"),
        "dilation_w_factor": ("int32", 1),
        "dilation_h_factor": ("int32", 1),
        "quantized_bias_type": ("TensorType", "FLOAT32"),
    }
    assert option_fields("RELU") == {}


@pytest.mark.zoo
@pytest.mark.parametrize("name", WHEEL_MODELS)
def test_decoding_agrees_with_the_generated_reader(name: str) -> None:
    """Oracle: the generated reader, on every field of every table of a real file and of the file written back."""
    data = zoo.fetch(name).read_bytes()
    for content in (data, write_tflite(read_tflite(data))):
        oracle = generated.ModelT.InitFromObj(generated.Model.GetRootAs(content))
        assert differences("Model", Reader(content, SCHEMA).root(), oracle, "Model") == []


def described(model: Any, graph: int, index: int) -> tuple[Any, ...] | None:
    """All that is said about tensor `index`, by value."""
    if index == -1:
        return None
    tensor = model.subgraphs[graph].tensors[index]
    data = model.buffers[tensor.buffer].data
    quantization = None
    if tensor.quantization is not None:
        parts = [getattr(tensor.quantization, part) for part in ("min", "max", "scale", "zeroPoint")]
        quantization = [[] if part is None else list(part) for part in parts]
        quantization = [*quantization, tensor.quantization.quantizedDimension] if any(quantization) else None
    sparsity = tensor.sparsity and [
        [] if part is None else list(part) for part in (tensor.sparsity.traversalOrder, tensor.sparsity.blockMap)
    ]
    for level in tensor.sparsity.dimMetadata if tensor.sparsity else []:
        vectors = [v and list(v.values) for v in (level.arraySegments, level.arrayIndices)]
        sparsity += [level.format, level.denseSize, *vectors]
    listed = [None if v is None else list(v) for v in (tensor.shape, tensor.shapeSignature)]
    plain = (tensor.name, tensor.type, tensor.isVariable, tensor.hasRank)
    return (*plain, *listed, quantization, sparsity, None if data is None else bytes(data))


def options(value: Any) -> Any:
    """The options by value; a table whose fields are all absent says as much as no table."""
    fields = {} if value is None else vars(value)
    return {k: list(v) if isinstance(v, (list, np.ndarray)) else v for k, v in fields.items() if v is not None}


@pytest.mark.zoo
@pytest.mark.parametrize("name", WHEEL_MODELS)
def test_a_rewritten_file_says_the_same(name: str) -> None:
    """Oracle: the generated reader on both files: operators, tensors by value, signatures, metadata, in order."""
    data = zoo.fetch(name).read_bytes()
    before, after = (
        generated.ModelT.InitFromObj(generated.Model.GetRootAs(d)) for d in (data, write_tflite(read_tflite(data)))
    )
    assert (before.version, before.description or b"") == (after.version, after.description or b"")
    assert len(before.subgraphs) == len(after.subgraphs)
    for number, (one, two) in enumerate(zip(before.subgraphs, after.subgraphs, strict=True)):
        for x, y in zip([*one.inputs, *one.outputs], [*two.inputs, *two.outputs], strict=True):
            assert described(before, number, x) == described(after, number, y)
        for a, b in zip(one.operators, two.operators, strict=True):
            codes = [m.operatorCodes[op.opcodeIndex] for m, op in ((before, a), (after, b))]
            builtins = [max(code.builtinCode, code.deprecatedBuiltinCode) for code in codes]
            assert builtins[0] == builtins[1]
            assert (codes[0].customCode, codes[0].version) == (codes[1].customCode, codes[1].version)
            assert options(a.builtinOptions) == options(b.builtinOptions)
            custom = [b"" if op.customOptions is None else bytes(op.customOptions) for op in (a, b)]
            assert custom[0] == custom[1]
            for x, y in zip([*a.inputs, *a.outputs], [*b.inputs, *b.outputs], strict=True):
                assert described(before, number, x) == described(after, number, y)
    metadata = [
        {m.name: bytes(model.buffers[m.buffer].data) for m in model.metadata or []} for model in (before, after)
    ]
    assert metadata[0] == metadata[1]
    signatures = [
        [
            (s.signatureKey, s.subgraphIndex, [t.name for t in [*s.inputs, *s.outputs]])
            for s in model.signatureDefs or []
        ]
        for model in (before, after)
    ]
    assert signatures[0] == signatures[1]


def test_complete_attrs_prefers_what_the_op_says() -> None:
    from pocketgraph.models.graph import Op

    attrs = complete_attrs(Op("SOFTMAX", [], [], {"beta": 2.0}))
    assert attrs == {"beta": 2.0}
    assert complete_attrs(Op("ADD", [], [])) == {"fused_activation_function": "NONE", "pot_scale_int16": True}
