"""The one in-memory model graph that every format is read into and written from.

A `Model` holds one or more `Graph`s; a `Graph` is a topologically ordered list of `Op`s over `Tensor`s. The
vocabulary is TFLite's: builtin operator names (`"CONV_2D"`, `"ADD"`, …), their option names in snake case
(`stride_w`, `fused_activation_function="RELU6"`), channels last, weights as TFLite lays them out (convolution
`[out, h, w, in]`, depthwise `[1, h, w, out]`, fully connected `[out, in]`). Other formats are translated to it at
their own door, so a pass is written once.

Why not onnx_ir: it is a fine ONNX graph, but TFLite's signatures, per-axis quantisation, sparsity encoding, several
subgraphs and channels-last layouts would all live in its untyped side metadata, and those are what this project is
about.

A worked example, a 1x1 convolution on an 8x8 picture::

    x = Tensor("x", (1, 8, 8, 3))
    w = Tensor("w", (16, 1, 1, 3), data=np.zeros((16, 1, 1, 3), np.float32))
    b = Tensor("b", (16,), data=np.zeros(16, np.float32))
    y = Tensor("y", (1, 8, 8, 16))
    conv = Op("CONV_2D", [x, w, b], [y], {"padding": "SAME", "stride_w": 1, "stride_h": 1})
    model = Model([Graph("main", inputs=[x], outputs=[y], ops=[conv])])
"""

from __future__ import annotations

import enum
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from pocketgraph.models.errors import GraphError
from pocketgraph.models.sparsity import Sparsity, decode

Array = npt.NDArray[Any]
FloatArray = npt.NDArray[np.float32]


class DType(enum.Enum):
    """Element type of a tensor, named as NumPy names it where NumPy has it."""

    FLOAT32 = "float32"
    FLOAT16 = "float16"
    FLOAT64 = "float64"
    BFLOAT16 = "bfloat16"
    FLOAT8_E4M3FN = "float8_e4m3fn"
    FLOAT8_E5M2 = "float8_e5m2"
    INT2 = "int2"
    INT4 = "int4"
    UINT4 = "uint4"
    INT8 = "int8"
    INT16 = "int16"
    INT32 = "int32"
    INT64 = "int64"
    UINT8 = "uint8"
    UINT16 = "uint16"
    UINT32 = "uint32"
    UINT64 = "uint64"
    BOOL = "bool"
    COMPLEX64 = "complex64"
    COMPLEX128 = "complex128"
    STRING = "string"
    RESOURCE = "resource"
    VARIANT = "variant"

    @property
    def numpy(self) -> np.dtype[Any] | None:
        """The NumPy type of stored elements, or None where NumPy has none (data is then raw bytes, uint8)."""
        return None if self in _WITHOUT_NUMPY else np.dtype(self.value)

    @classmethod
    def of(cls, array: Array) -> DType:
        """The `DType` of a NumPy array."""
        try:
            return cls(array.dtype.name)
        except ValueError as error:
            raise GraphError(f"no tensor type for NumPy arrays of {array.dtype}") from error


_WITHOUT_NUMPY = frozenset(
    {
        DType.BFLOAT16,
        DType.FLOAT8_E4M3FN,
        DType.FLOAT8_E5M2,
        DType.INT2,
        DType.INT4,
        DType.UINT4,
        DType.STRING,
        DType.RESOURCE,
        DType.VARIANT,
    }
)


@dataclass(eq=False)
class Quantization:
    """Affine quantisation: real = scale * (stored - zero_point), per tensor or along `axis`.

    `scale` and `zero_point` have one element per tensor, or one per index along `axis`; both may be empty where a file
    carries only the calibration range `minimum` / `maximum`.
    """

    scale: FloatArray = field(default_factory=lambda: np.zeros(0, np.float32))
    zero_point: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    axis: int = 0
    minimum: FloatArray = field(default_factory=lambda: np.zeros(0, np.float32))
    maximum: FloatArray = field(default_factory=lambda: np.zeros(0, np.float32))


@dataclass(eq=False)
class Tensor:
    """A value of the graph: an input, a constant, or what one op produces.

    `shape` is static; `shape_signature` has -1 where a file leaves a dimension open. `data` is set for constants: an
    array of `shape`, or, where `sparsity` is set, the one-dimensional array of stored values that it describes; it may
    be a read-only view on the file. `layout` names the axes where they are known (`"NHWC"`, `"OHWI"`). `variants` are
    the (shape, type, has rank) of what a VARIANT holds.
    """

    name: str
    shape: tuple[int, ...]
    dtype: DType = DType.FLOAT32
    data: Array | None = None
    shape_signature: tuple[int, ...] | None = None
    quantization: Quantization | None = None
    sparsity: Sparsity | None = None
    layout: str | None = None
    is_variable: bool = False
    has_rank: bool = True
    variants: tuple[tuple[tuple[int, ...], DType, bool], ...] = ()

    @property
    def is_constant(self) -> bool:
        return self.data is not None

    @property
    def size(self) -> int:
        """Number of elements of the dense tensor."""
        return math.prod(self.shape)

    def dense(self) -> Array:
        """The constant as a dense array of `shape` and stored type (not dequantised).

        Raises `GraphError` where the tensor is not a constant.
        """
        if self.data is None:
            raise GraphError(f"tensor {self.name!r} is computed, not constant: it has no data")
        if self.sparsity is not None:
            return decode(self.data, self.sparsity, self.shape)
        return self.data

    def __repr__(self) -> str:
        what = "sparse " if self.sparsity else ""
        what += "const " if self.is_constant else ""
        return f"<{what}{self.name} {self.dtype.value}{list(self.shape)}>"


@dataclass(eq=False)
class Op:
    """One operator. `inputs` may hold None where an optional operand is left out.

    `kind` is a TFLite builtin name, or `"CUSTOM"` with `custom_code` and opaque `custom_options`. `attrs` are the
    builtin's options by their schema names; what is absent has the schema's default.
    """

    kind: str
    inputs: list[Tensor | None]
    outputs: list[Tensor]
    attrs: dict[str, Any] = field(default_factory=dict)
    version: int = 1
    custom_code: str = ""
    custom_options: bytes = b""
    intermediates: list[Tensor] = field(default_factory=list)

    @property
    def name(self) -> str:
        """What to call this op in messages: its first output's name."""
        return self.outputs[0].name if self.outputs else self.kind

    def input(self, index: int) -> Tensor:
        """Operand `index`, which must be present."""
        if index >= len(self.inputs) or (tensor := self.inputs[index]) is None:
            raise GraphError(f"{self.kind} {self.name!r} has no input {index}")
        return tensor

    def __repr__(self) -> str:
        return f"<{self.custom_code or self.kind} {self.inputs} -> {self.outputs}>"


@dataclass(eq=False)
class Signature:
    """A named way to call a graph: argument and result names to tensors of `model.graphs[graph]`."""

    key: str
    inputs: dict[str, Tensor]
    outputs: dict[str, Tensor]
    graph: int = 0


@dataclass(eq=False)
class Graph:
    """Ops in topological order between input and output tensors."""

    name: str
    inputs: list[Tensor]
    outputs: list[Tensor]
    ops: list[Op]

    def tensors(self) -> list[Tensor]:
        """Every tensor once: inputs first, then as the ops meet them, then outputs."""
        found: dict[Tensor, None] = dict.fromkeys(self.inputs)
        for op in self.ops:
            found.update(dict.fromkeys(t for t in op.inputs if t is not None))
            found.update(dict.fromkeys(op.outputs))
            found.update(dict.fromkeys(op.intermediates))
        found.update(dict.fromkeys(self.outputs))
        return list(found)

    def producers(self) -> dict[Tensor, Op]:
        """Tensor -> the op that computes it."""
        return {tensor: op for op in self.ops for tensor in op.outputs}

    def consumers(self) -> dict[Tensor, list[Op]]:
        """Tensor -> the ops that read it, in order, each once; tensors nobody reads are absent."""
        readers: dict[Tensor, list[Op]] = {}
        for op in self.ops:
            for tensor in dict.fromkeys(op.inputs):
                if tensor is not None:
                    readers.setdefault(tensor, []).append(op)
        return readers

    def replace(self, old: Tensor, new: Tensor) -> None:
        """Let every reader of `old`, and the graph's outputs, use `new`."""
        for op in self.ops:
            op.inputs = [new if tensor is old else tensor for tensor in op.inputs]
        self.outputs = [new if tensor is old else tensor for tensor in self.outputs]

    def sort(self) -> None:
        """Put the ops into topological order (stable). Raises `GraphError` on a cycle."""
        producers = self.producers()
        done: set[Op] = set()
        order: list[Op] = []
        for root in self.ops:
            stack: list[tuple[Op, Iterator[Op]]] = []
            open_ops: set[Op] = set()

            def visit(
                op: Op,
                stack: list[tuple[Op, Iterator[Op]]] = stack,
                open_ops: set[Op] = open_ops,
            ) -> None:
                open_ops.add(op)
                stack.append((op, iter([producers[t] for t in op.inputs if t in producers])))

            if root not in done:
                visit(root)
            while stack:
                op, before = stack[-1]
                for earlier in before:
                    if earlier in open_ops:
                        raise GraphError(f"the graph has a cycle through {earlier.kind} {earlier.name!r}")
                    if earlier not in done:
                        visit(earlier)
                        break
                else:
                    stack.pop()
                    open_ops.discard(op)
                    done.add(op)
                    order.append(op)
        self.ops = order

    def prune_dead(self) -> None:
        """Drop ops none of whose results is ever used."""
        live = set(self.outputs)
        kept: list[Op] = []
        for op in reversed(self.ops):
            if not op.outputs or any(tensor in live for tensor in op.outputs):
                live.update(tensor for tensor in op.inputs if tensor is not None)
                kept.append(op)
        self.ops = kept[::-1]

    def extract(self, outputs: Sequence[Tensor], inputs: Sequence[Tensor] | None = None) -> Graph:
        """A new graph (sharing ops and tensors) that computes `outputs` from `inputs` (default: this graph's)."""
        part = Graph(self.name, list(self.inputs if inputs is None else inputs), list(outputs), [])
        live, given = set(outputs), set(part.inputs)
        for op in reversed(self.ops):
            if any(tensor in live and tensor not in given for tensor in op.outputs):
                live.update(tensor for tensor in op.inputs if tensor is not None)
                part.ops.append(op)
        part.ops.reverse()
        return part

    def unique_name(self, wanted: str) -> str:
        """`wanted`, or `wanted_1`, `wanted_2`, … where a tensor already has that name."""
        taken = {tensor.name for tensor in self.tensors()}
        name, count = wanted, 0
        while name in taken:
            count += 1
            name = f"{wanted}_{count}"
        return name


@dataclass(eq=False)
class Model:
    """Graphs (the first is the main one) and what a file carries beside them.

    `metadata` are named blobs inside the file; `files` are associated files (labels, …) packed behind it.
    """

    graphs: list[Graph]
    signatures: list[Signature] = field(default_factory=list)
    description: str = ""
    metadata: dict[str, bytes] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)

    @property
    def main(self) -> Graph:
        return self.graphs[0]

    def copy(self) -> Model:
        """A copy with graphs, ops and tensors of its own; constant arrays are shared (replace, never write)."""
        renamed: dict[Tensor, Tensor] = {}
        graphs = [_copy_graph(graph, renamed) for graph in self.graphs]
        signatures = [
            Signature(
                s.key,
                {name: renamed[t] for name, t in s.inputs.items()},
                {name: renamed[t] for name, t in s.outputs.items()},
                s.graph,
            )
            for s in self.signatures
        ]
        return Model(graphs, signatures, self.description, dict(self.metadata), dict(self.files))

    def validate(self) -> None:
        """Check what every pass may rely on. Raises `GraphError` naming the tensor or op at fault.

        Each tensor has one producer, ops come after what they read, constants have the shape they claim.
        """
        for graph in self.graphs:
            known = set(graph.inputs)
            made: set[Tensor] = set()
            for op in graph.ops:
                for tensor in op.inputs:
                    if tensor is not None and not (tensor.is_constant or tensor.is_variable or tensor in known):
                        raise GraphError(f"{op.kind} {op.name!r} reads {tensor.name!r} before anything produces it")
                for tensor in op.outputs:
                    if tensor in made or tensor.is_constant:
                        raise GraphError(f"tensor {tensor.name!r} is produced twice")
                    made.add(tensor)
                    known.add(tensor)
            for tensor in graph.outputs:
                if tensor not in known and not tensor.is_constant:
                    raise GraphError(f"graph output {tensor.name!r} is never produced")
            _check_constants(graph.tensors())


def _check_constants(tensors: Iterable[Tensor]) -> None:
    for tensor in tensors:
        if tensor.data is None or tensor.sparsity is not None or tensor.dtype.numpy is None:
            continue
        if tensor.data.shape != tensor.shape or tensor.data.dtype != tensor.dtype.numpy:
            raise GraphError(
                f"constant {tensor.name!r} claims {tensor.dtype.value}{list(tensor.shape)}"
                f" and holds {tensor.data.dtype}{list(tensor.data.shape)}"
            )


def _copy_graph(graph: Graph, renamed: dict[Tensor, Tensor]) -> Graph:
    for tensor in graph.tensors():
        if tensor not in renamed:
            renamed[tensor] = Tensor(**vars(tensor))
    ops = [
        Op(
            op.kind,
            [None if t is None else renamed[t] for t in op.inputs],
            [renamed[t] for t in op.outputs],
            dict(op.attrs),
            op.version,
            op.custom_code,
            op.custom_options,
            [renamed[t] for t in op.intermediates],
        )
        for op in graph.ops
    ]
    return Graph(graph.name, [renamed[t] for t in graph.inputs], [renamed[t] for t in graph.outputs], ops)
