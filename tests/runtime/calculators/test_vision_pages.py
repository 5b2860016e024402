"""Every calculator of vision: its page, its manners with wrong and with missing packets; every subgraph: its name."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pocketgraph.models.errors import GraphConfigError, GraphRuntimeError
from pocketgraph.runtime.calculators import subgraphs, vision
from pocketgraph.runtime.calculators.core.has_min_size import HasMinSize
from pocketgraph.runtime.graph import Calculator, CalculatorRunner, Packet, parse_text, read_graph, validate
from pocketgraph.runtime.vision.anchors import ssd_anchors

_CLASSES = [getattr(vision, name) for name in vision.__all__]
CALCULATORS: list[type[Calculator]] = [item for item in _CLASSES if isinstance(item, type)] + [HasMinSize]
WITH_INPUTS = [item for item in CALCULATORS if any(port.kind == "input stream" for port in item.ports)]
ANCHORS = ssd_anchors((128, 128), (8, 16, 16, 16))


def _name(calculator: type[Calculator]) -> str:
    return calculator.__name__


def _example(calculator: type[Calculator]) -> Any:
    (node,) = parse_text((calculator.__doc__ or "").partition("Example:")[2]).node
    return node


@pytest.mark.parametrize("calculator", CALCULATORS, ids=_name)
def test_the_example_of_each_page_is_a_node_of_it(calculator: type[Calculator]) -> None:
    head = (calculator.__doc__ or "").partition("Example:")[0]
    assert len(head.strip()) > 60
    node = _example(calculator)
    assert node.calculator in (calculator.registered_name, *_spellings(calculator))
    assert CalculatorRunner(node).graph.plan.nodes[0].contract.calculator is calculator
    for port in calculator.ports:
        assert port.tag in head, f"{calculator.__name__} does not say what {port} is"
    for field in calculator.Options.message.DESCRIPTOR.fields if calculator.Options is not None else ():
        if field.name in head:
            return
    assert calculator.Options is None


def _spellings(calculator: type[Calculator]) -> list[str]:
    from pocketgraph.runtime.graph.registry import find_calculator, known_names

    return [name for name in known_names() if find_calculator(name) is calculator]


def _run(node: Any, inputs: dict[str, list[Packet]]) -> Any:
    sides = {}
    for name in node.input_side_packet:
        sides[name.rpartition(":")[2]] = ANCHORS
    return CalculatorRunner(node).run(inputs, sides)


@pytest.mark.zoo
@pytest.mark.parametrize("calculator", WITH_INPUTS, ids=_name)
def test_a_packet_of_the_wrong_type_names_the_node(calculator: type[Calculator]) -> None:
    node = _example(calculator)
    node.name = "the_node"
    names = [text.rpartition(":")[2] for text in node.input_stream]
    with pytest.raises(GraphRuntimeError, match=r"the_node"):
        _run(node, {name: [Packet(object(), 7)] for name in names})


@pytest.mark.zoo
@pytest.mark.parametrize("calculator", WITH_INPUTS, ids=_name)
def test_a_time_without_packets_gives_nothing(calculator: type[Calculator]) -> None:
    node = _example(calculator)
    names = [text.rpartition(":")[2] for text in node.input_stream]
    found = _run(node, {name: [Packet().at(7)] for name in names})
    assert not any(found.values())


@pytest.mark.zoo
@pytest.mark.parametrize("calculator", WITH_INPUTS, ids=_name)
def test_one_input_alone_is_no_error(calculator: type[Calculator]) -> None:
    values = {"IMAGE_SIZE": (8, 4), "OUTPUT_SIZE": (8, 4), "LETTERBOX_PADDING": (0.0, 0.0), "MATRIX": np.eye(4)}
    values["PROJECTION_MATRIX"] = np.eye(4)
    node = _example(calculator)
    for text in node.input_stream:
        tag, _, name = text.rpartition(":")
        if tag in values and len(node.input_stream) > 1:
            found = _run(node, {name: [Packet(values[tag], 7)]})
            assert not any(found.values()), tag


@pytest.mark.parametrize("name", [name for name in subgraphs.NAMES if name != "FaceDetection"])
def test_each_subgraph_is_named_for_its_file_and_can_run_alone(name: str) -> None:
    config = read_graph(subgraphs.NAMES[name])
    assert config.type == name
    text = subgraphs.NAMES[name].read_text()
    assert text.startswith("# "), "its first line says what it is for"
    assert validate(config).nodes


def test_the_face_detector_needs_options_to_run() -> None:
    with pytest.raises(GraphConfigError, match="output_tensor_width"):
        validate(read_graph(subgraphs.NAMES["FaceDetection"]))
