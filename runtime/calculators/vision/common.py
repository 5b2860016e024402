"""What calculators of vision share: the GPU's origin in options, and refusal of options that are not carried out."""

from __future__ import annotations

from pocketgraph.models.errors import GraphConfigError
from pocketgraph.runtime.graph.contract import Contract
from pocketgraph.runtime.graph.schema import describe

describe("message GpuOrigin\n  enum Mode DEFAULT=0 CONVENTIONAL=1 TOP_LEFT=2\n", "pocketgraph/GpuOrigin.proto")


MOST_SIDE = 4096
"""Pixels of a side of a model's input: a graph file must not ask for all the memory there is."""


def check_side(name: str, side: int) -> None:
    """Refuse a side of a model's input that is none, or too large."""
    if not 1 <= side <= MOST_SIDE:
        raise GraphConfigError(f"{name} is 1 to {MOST_SIDE}, it is {side}")


def refuse(contract: Contract, *names: str) -> None:
    """Refuse options that would change results here, where they are set to anything but their default."""
    for name in names:
        field = contract.options.DESCRIPTOR.fields_by_name[name]
        value = getattr(contract.options, name)
        if contract.options.HasField(name) if field.message_type else value not in (field.default_value, []):
            raise GraphConfigError(f"the option {name} is not carried out here; leave it out")


def one_at_a_time(contract: Contract) -> None:
    """Refuse `max_in_flight` above 1: for calculators whose work uses buffers or an engine of their own."""
    if contract.node.max_in_flight > 1:
        raise GraphConfigError(f"max_in_flight is 1 here, not {contract.node.max_in_flight}: it has one set of buffers")
