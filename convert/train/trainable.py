"""A model graph as a TensorFlow function whose weights can be trained and written back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pocketgraph.convert.train.backend import tf
from pocketgraph.convert.train.tf_ops import activation, keeps_batch, rule
from pocketgraph.models.errors import GraphError, UnsupportedError
from pocketgraph.models.graph import DType, Model, Op, Tensor


class Trainable:
    """The main graph of `model` on TensorFlow, for any batch size.

    `variables` maps each float32 weight, bias and PReLU slope to its `tf.Variable`, in the graph's layout
    (convolutions `[out, h, w, in]`). Calling it with one array `[N, …]`, or a sequence of them in the order of the
    graph's inputs, gives the tuple of outputs, each `[N, …]`; it may be traced into a
    `tf.function(…, autograph=False)`. Where an operator
    mixes axis 0 the graph runs picture by picture instead, with the same result.

    Outputs agree with LiteRT within 1e-4 of the output's range. Raises `UnsupportedError` for custom operators,
    operators without a rule, several graphs calling each other, and weights that are not plain float32 (run the pass
    `Decompress` first).
    """

    def __init__(self, model: Model) -> None:
        self._model = model.copy()
        self._graph = self._model.main
        computed = self._check()
        self.free_batch = all(keeps_batch(op, computed) for op in self._graph.ops if op.outputs[0] in computed)
        self.variables: dict[Tensor, Any] = {}
        self._constants: dict[Tensor, Any] = {}
        for op in self._graph.ops:
            for index, tensor in enumerate(op.inputs):
                if tensor is None or not tensor.is_constant:
                    continue
                if index in rule(op).weights and tensor not in self.variables:
                    if tensor.dtype is not DType.FLOAT32:
                        raise UnsupportedError(
                            f"{op.kind} {op.name!r} has {tensor.dtype.value} weights; training needs float32: "
                            "run the pass Decompress first"
                        )
                    name = "".join(c if c.isalnum() or c in "._-/" else "_" for c in tensor.name) or "weight"
                    self.variables[tensor] = tf.Variable(tensor.dense(), name=f"w/{name}")
                elif tensor not in self._constants:
                    self._constants[tensor] = tf.constant(tensor.dense())

    def _check(self) -> set[Tensor]:
        """The tensors that depend on the inputs; raises where the graph cannot be trained."""
        for op in self._graph.ops:
            rule(op)
        for tensor in self._graph.inputs:
            if tensor.shape[:1] != (1,):
                raise UnsupportedError(
                    f"input {tensor.name!r} has shape {list(tensor.shape)}; expected batch 1 in front"
                )
        computed = set(self._graph.inputs)
        for op in self._graph.ops:
            if any(tensor in computed for tensor in op.inputs if tensor is not None):
                computed.update(op.outputs)
        return computed

    @property
    def inputs(self) -> list[Tensor]:
        """The graph's inputs, in calling order."""
        return list(self._graph.inputs)

    @property
    def ops(self) -> list[Op]:
        """The graph's operators, in running order."""
        return list(self._graph.ops)

    @property
    def outputs(self) -> list[Tensor]:
        """The graph's outputs, in the order of the results."""
        return list(self._graph.outputs)

    def __call__(self, inputs: Any) -> tuple[Any, ...]:
        return tuple(self.run(inputs)[0])

    def run(
        self, inputs: Any, taps: Sequence[Op] = (), weights: Mapping[Tensor, Any] | None = None
    ) -> tuple[list[Any], list[Any]]:
        """Outputs, and the results of the ops in `taps` before their fused activation.

        `weights` overrides the variables (a mapping of the same tensors), for instance to mask them.
        """
        given = list(inputs) if isinstance(inputs, (list, tuple)) else [inputs]
        if len(given) != len(self._graph.inputs):
            raise GraphError(f"the model has {len(self._graph.inputs)} inputs, got {len(given)} arrays")
        arrays = [
            tf.ensure_shape(tf.cast(x, tensor.dtype.value), [None, *tensor.shape[1:]])
            for x, tensor in zip(given, self._graph.inputs, strict=True)
        ]
        values = {**self._constants, **(self.variables if weights is None else weights)}
        if self.free_batch:
            return self._evaluate(arrays, taps, values)
        kinds = [tensor.dtype.value for tensor in self._graph.outputs] + [op.outputs[0].dtype.value for op in taps]

        def one(picture: list[Any]) -> list[Any]:
            outputs, features = self._evaluate([x[tf.newaxis] for x in picture], taps, values)
            return [*outputs, *features]

        results = tf.map_fn(one, arrays, fn_output_signature=kinds)
        stacked = [tf.reshape(r, [-1, *r.shape[2:]]) if r.shape.rank > 1 else r for r in results]
        return stacked[: len(self._graph.outputs)], stacked[len(self._graph.outputs) :]

    def _evaluate(
        self, arrays: Sequence[Any], taps: Sequence[Op], constants: Mapping[Tensor, Any]
    ) -> tuple[list[Any], list[Any]]:
        values: dict[Tensor, Any] = {**constants, **dict(zip(self._graph.inputs, arrays, strict=True))}
        features: dict[Op, Any] = {}
        for op in self._graph.ops:
            result = rule(op).compute(op, [None if t is None else values[t] for t in op.inputs])
            if op in taps:
                features[op] = result
            if len(op.outputs) == 1:
                values[op.outputs[0]] = activation(op)(result)
            else:
                values.update(zip(op.outputs, result, strict=True))
        return [values[t] for t in self._graph.outputs], [features[op] for op in taps]

    def model(self, weights: Mapping[Tensor, Any] | None = None) -> Model:
        """A copy of the model with the variables' present values, or those of `weights` instead.

        Raises `GraphError` where training left a value that is not finite.
        """
        for tensor, variable in (self.variables if weights is None else weights).items():
            data = variable.numpy().astype(np.float32)
            if not np.isfinite(data).all():
                raise GraphError(
                    f"training left values in {tensor.name!r} that are not finite: lower the learning rate"
                )
            tensor.data, tensor.sparsity = data, None
        return self._model.copy()
