from __future__ import annotations

from typing import Any

from pocketgraph.models.errors import GraphConfigError
from pocketgraph.runtime.graph.calculator import Calculator
from pocketgraph.runtime.graph.context import Context
from pocketgraph.runtime.graph.contract import Contract
from pocketgraph.runtime.graph.options import OptionsSpec
from pocketgraph.runtime.graph.ports import Input, Inputs, Output, Outputs, SideInput
from pocketgraph.runtime.graph.registry import register

UNINITIALIZED, ALLOW, DISALLOW = 1, 2, 3


@register("GateCalculator")
class Gate(Calculator):
    """Hands packets on, or drops them, as a control says.

    The control is one of: the stream ALLOW, the stream DISALLOW, the side packet ALLOW, the side packet DISALLOW, or,
    with none of them, the option `allow`. A gate that a side packet closes for good closes its outputs at once.

    Inputs: any number without a tag; ALLOW or DISALLOW (bool), at the timestamps of the others.
    Side packets: ALLOW or DISALLOW (bool).
    Outputs: as many without a tag; STATE_CHANGE (bool, optional): the new state, whenever it changes.
    Options (GateCalculatorOptions):
        empty_packets_as_allow: what a timestamp without a control packet means; default false.
        allow: the state where nothing else controls it; default false.
        initial_gate_state: GATE_ALLOW or GATE_DISALLOW lets the very first state count as a change.

    Example:
        node {
          calculator: "GateCalculator"
          input_stream: "frames"
          input_stream: "ALLOW:person_is_there"
          output_stream: "frames_with_person"
        }
    """

    allow = Input("ALLOW", bool, optional=True)
    disallow = Input("DISALLOW", bool, optional=True)
    side_allow = SideInput("ALLOW", bool, optional=True)
    side_disallow = SideInput("DISALLOW", bool, optional=True)
    data = Inputs[Any]("", optional=True)
    passed = Outputs[Any]("", optional=True, same_as=data)
    state_change = Output("STATE_CHANGE", bool, optional=True)
    offset = 0
    Options = OptionsSpec("""
message GateCalculatorOptions extends CalculatorOptions at 261754847
  bool empty_packets_as_allow = 1
  bool allow = 2 default false
  enum GateState UNSPECIFIED=0 GATE_UNINITIALIZED=1 GATE_ALLOW=2 GATE_DISALLOW=3
  GateState initial_gate_state = 3 default GATE_UNINITIALIZED
""")

    @classmethod
    def check(cls, contract: Contract) -> None:
        controls = [cls.allow, cls.disallow, cls.side_allow, cls.side_disallow]
        given = [str(port) for port in controls if contract.has(port)]
        if len(given) > 1:
            raise GraphConfigError(f"only one of ALLOW and DISALLOW can control it, there are {' and '.join(given)}")
        if contract.count(cls.data) != contract.count(cls.passed):
            raise GraphConfigError(
                f"it has {contract.count(cls.data)} data inputs, but {contract.count(cls.passed)} data outputs"
            )

    def open(self, context: Context) -> None:
        self._state = self.options.initial_gate_state
        self._default = self.options.empty_packets_as_allow
        self._fixed: bool | None = None
        self._by_side = False
        for port, means in ((self.side_allow, True), (self.side_disallow, False)):
            side = context[port]
            if side:
                self._fixed, self._by_side = side.value == means, True
        if not self._by_side and context[self.allow] is None and context[self.disallow] is None:
            self._fixed = self.options.allow
        for source, target in zip(context[self.data], context[self.passed], strict=True):
            if not source.header.empty:
                target.set_header(source.header)

    def process(self, context: Context) -> None:
        if self._fixed is not None:
            allowed = self._fixed
        else:
            allowed = self._default
            if context[self.allow]:
                allowed = context[self.allow].value
            elif context[self.disallow]:
                allowed = not context[self.disallow].value
        state = ALLOW if allowed else DISALLOW
        change = context[self.state_change]
        if change is not None and self._state not in (UNINITIALIZED, state):
            change.send(allowed)
        self._state = state
        for source, target in zip(context[self.data], context[self.passed], strict=True):
            if not allowed:
                if self._by_side and not target.closed:
                    target.close()
            elif source:
                target.add(source.packet)
