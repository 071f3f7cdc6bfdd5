"""ONNX graphs without the weights that a .safetensors file holds."""

from collections.abc import Mapping
from typing import Any

from torch import nn


def without_weights(content: bytes, model: nn.Module, paddings: Mapping[str, tuple[int, int]] | None = None) -> bytes:
    """Returns a graph that names the weights of a network as its `state_dict` does, instead of holding them.

    Args:
        content: The serialized graph.
        model: The network, or the one in which it is a part.
        paddings: Padding before and after each side, by the name of a convolution's weight: there the exporter has
            written a step of its own, which the convolution can do.
    """
    import onnx

    whole = onnx.load_model_from_string(content)
    own_names = {each.name: _own_name(each.name, model) for each in whole.graph.initializer}
    _fuse_padding(whole.graph, {name: (paddings or {}).get(own) for name, own in own_names.items()})
    for node in whole.graph.node:
        renamed = [own_names.get(name) or name for name in node.input]
        del node.input[:]
        node.input.extend(renamed)
    for each in whole.graph.initializer:
        if own := own_names[each.name]:
            each.name = own
            each.ClearField("raw_data")
            each.data_location = onnx.TensorProto.EXTERNAL
            each.external_data.add(key="location", value="weights")
    return whole.SerializeToString()  # type: ignore[no-any-return]


def _own_name(name: str, model: nn.Module) -> str:
    """Returns the name of an exported parameter in the network's `state_dict`; empty for other constants."""
    return next((own for own in model.state_dict() if name == own or name.endswith(f".{own}")), "")


def _fuse_padding(graph: Any, paddings: Mapping[str, tuple[int, int] | None]) -> None:
    import onnx

    producers = {output: node for node in graph.node for output in node.output}
    for node in graph.node:
        padding = paddings.get(node.input[1]) if node.op_type == "Conv" else None
        if padding is None:
            continue
        before, after = padding
        node.input[0] = producers[node.input[0]].input[0]
        others = [each for each in node.attribute if each.name != "pads"]
        del node.attribute[:]
        node.attribute.extend([*others, onnx.helper.make_attribute("pads", [before, before, after, after])])
