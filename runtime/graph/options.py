"""Options of calculators and of input policies: described once beside the class, read from a node of a graph file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from google.protobuf.message import DecodeError

from pocketgraph.models.errors import GraphConfigError
from pocketgraph.runtime.graph import schema


class OptionsSpec:
    """A message of options in the notation of `schema.describe`; the last message of the text is the options itself.

    `read` gives that message as a node has it, with defaults for what the node leaves out; `make` fills one from
    Python. A message hangs in `options` as an extension, or in `node_options` as an Any.
    """

    _named: ClassVar[dict[str, OptionsSpec]] = {}

    def __init__(self, text: str) -> None:
        lines = [line for line in text.split("\n") if line.startswith("message ")]
        self.name = lines[-1].split()[1]
        self.full_name = f"{schema.PACKAGE}.{self.name}"
        schema.describe(text, f"pocketgraph/{self.name}.proto")
        self.message = schema.message_class(self.full_name)
        self.extension: Any = self.message.DESCRIPTOR.extensions_by_name.get("ext")
        self._named[self.full_name] = self

    @classmethod
    def named(cls, type_url: str) -> OptionsSpec:
        """The options with this full name, or the type URL of an Any. Raises `GraphConfigError`."""
        name = type_url.rpartition("/")[2]
        if name not in cls._named:
            raise GraphConfigError(f"nobody has described the options {name}")
        return cls._named[name]

    def make(self, values: Mapping[str, Any] | None = None) -> Any:
        """The message with `values`. Raises `GraphConfigError` for a name or a value that does not fit."""
        try:
            return self.message(**(values or {}))
        except (TypeError, ValueError) as error:
            names = ", ".join(field.name for field in self.message.DESCRIPTOR.fields)
            raise GraphConfigError(f"options {self.name} take {names}: {error}") from error

    def put(self, holder: Any, values: Any) -> None:
        """Hang options, a message or a mapping, into the `options` of a node or of a policy."""
        message = values if isinstance(values, self.message) else self.make(values)
        if self.extension is None:
            packed = holder.node_options.add()
            packed.type_url = f"type.googleapis.com/{self.full_name}"
            packed.value = message.SerializeToString()
        else:
            holder.options.Extensions[self.extension].CopyFrom(message)

    def replace(self, node: Any, message: Any) -> None:
        """Make `message` the options of this type that `node` has, wherever they hung."""
        kept = [packed for packed in node.node_options if packed.type_url.rpartition("/")[2] != self.full_name]
        del node.node_options[:]
        node.node_options.extend(kept)
        self.put(node, message)

    def unpack(self, packed: Any) -> Any:
        """The message in an Any. Raises `GraphConfigError` where it cannot be decoded."""
        try:
            return self.message.FromString(packed.value)
        except DecodeError as error:
            raise GraphConfigError(f"options {self.full_name} cannot be decoded: {error}") from error

    def read(self, holder: Any) -> Any:
        """The options in `holder` (a node, or the config of an input policy), defaults where it has none."""
        result = self.message()
        if holder is None:
            return result
        if self.extension is not None and holder.HasField("options"):
            options = holder.options
            if not options.HasExtension(self.extension):
                # read before this message was described: then it lies among the unknown fields
                options = type(options).FromString(options.SerializeToString())
            result.MergeFrom(options.Extensions[self.extension])
        for packed in getattr(holder, "node_options", ()):
            if packed.type_url.rpartition("/")[2] == self.full_name:
                result.MergeFrom(self.unpack(packed))
        return result


def refuse_twice(packed: Iterable[Any], node: str) -> None:
    """Refuse `node_options` with the same type twice, where it would be unclear which counts."""
    seen: set[str] = set()
    for item in packed:
        if item.type_url in seen:
            raise GraphConfigError(f'node "{node}" has options of type "{item.type_url}" twice; keep one')
        seen.add(item.type_url)
