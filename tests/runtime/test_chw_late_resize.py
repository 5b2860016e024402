"""A 1x1 convolution behind a bilinear enlargement runs before it, where that pays, and computes the same."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pocketgraph.models.graph import Graph
from pocketgraph.runtime.chw.late_resize import resize_late


def _net(new_net: Any, *, size=(5, 4), target=(10, 12), channels=(6, 4), act="RELU6", **flags) -> Any:
    net = new_net()
    x = net.input(1, *size, channels[0])
    wide = net.op("RESIZE_BILINEAR", [x, np.array(target, np.int32)], (1, *target, channels[0]), version=3, **flags)
    return net, wide, net.conv(wide, channels[1], act=act)


def _kinds(graph: Graph) -> list[str]:
    resize_late(graph)
    return [op.kind for op in graph.ops]


@pytest.mark.parametrize("act", ["NONE", "RELU", "RELU6", "RELU_N1_TO_1"])
@pytest.mark.parametrize("flags", [(False, False), (True, False), (False, True)])
def test_it_computes_what_litert_computes(new_net: Any, agrees: Any, act: str, flags: tuple[bool, bool]) -> None:
    net, _, result = _net(new_net, act=act, align_corners=flags[0], half_pixel_centers=flags[1])
    model = net.model(result)
    agrees(model)
    assert _kinds(model.copy().main) == ["CONV_2D", "RESIZE_BILINEAR", *([] if act == "NONE" else [act])]


@pytest.mark.parametrize(
    "change",
    [{"target": (3, 3)}, {"channels": (4, 6)}, {"act": "TANH"}],
    ids=["it shrinks", "it would enlarge more channels", "an activation that is no clamp"],
)
def test_it_is_left_where_it_does_not_pay_or_is_not_the_same(new_net: Any, change: dict[str, Any]) -> None:
    net, _, result = _net(new_net, **change)
    assert _kinds(net.model(result).main) == ["RESIZE_BILINEAR", "CONV_2D"]


def test_it_is_left_where_others_read_the_enlarged_picture(new_net: Any, agrees: Any) -> None:
    net, wide, result = _net(new_net, channels=(4, 4))
    both = net.op("ADD", [wide, result], wide.shape)
    agrees(net.model(both))
    assert _kinds(net.model(both).main) == ["RESIZE_BILINEAR", "CONV_2D", "ADD"]
    net, wide, result = _net(new_net)
    assert _kinds(net.model(result, wide).main) == ["RESIZE_BILINEAR", "CONV_2D"]
