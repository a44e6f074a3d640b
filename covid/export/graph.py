"""A network to one ONNX graph: uint8 pixels in, logits and probabilities out."""

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import torch
from onnx import helper, numpy_helper
from torch import nn

from covid.edge.constants import SCALE, SHIFT
from covid.edge.labels import Task
from covid.edge.operating_point import Recalibration
from covid.model.networks import Network

OPSET = 18  # the first with an antialiased Resize, which the any-size graph needs
OUTPUTS = ("logit", "probability")
LAYERS = ("Conv", "Gemm")  # what has weights
# What neither computes nor names a tensor: notes of the exporter, with paths of this machine.
NOTES = ("doc_string", "metadata_props")


class Deployed(nn.Module):
    """A network as it is exported: the same function with fewer and more usual operations.

    The division by 255 and by the deviation is in the first convolution's weights, so that
    what is left of normalisation is one subtraction. Adaptive pooling is plain pooling.
    """

    def __init__(self, network: Network, task: Task, image_size: int):
        super().__init__()
        network = copy.deepcopy(network).eval().to(memory_format=torch.contiguous_format)
        plain_pooling(network.backbone, image_size)
        assert network.traced.stem is not None
        stem = network.backbone.get_submodule(network.traced.stem)
        assert isinstance(stem, nn.Conv2d)
        with torch.no_grad():
            stem.weight /= 255 * network.std
        self.backbone = network.backbone
        self.head = network.head
        self.mean_level = 255 * network.mean
        self.task = task

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        logit = self.head(self.backbone(images.float() - self.mean_level))
        probability = logit.sigmoid() if self.task == "multilabel" else logit.softmax(dim=1)
        return logit, probability


def export_graph(network: Network, task: Task, image_size: int) -> onnx.ModelProto:
    """`network` as a graph: `image`, uint8 `[batch, 1, size, size]`, to `logit` and `probability`.

    Both are float32 `[batch, classes]`, with any number of images in a batch. Batch norm is
    folded into the convolutions before it by the exporter, or where there is none becomes one,
    and nothing of this machine is left.
    """
    deployed = Deployed(network, task, image_size).eval()
    # Two images: the exporter takes an axis of length one for a constant.
    example = torch.zeros(2, 1, image_size, image_size, dtype=torch.uint8)
    program = torch.onnx.export(
        deployed,
        (example,),
        dynamo=True,
        opset_version=OPSET,
        input_names=["image"],
        output_names=list(OUTPUTS),
        dynamic_shapes=({0: torch.export.Dim("batch")},),
        verbose=False,
    )
    assert program is not None
    model: onnx.ModelProto = program.model_proto
    strip_notes(model)
    del model.graph.value_info[:]  # shapes that any runtime infers again
    replace_norms(model)
    pool_globally(model)
    name_layers(model)
    add_calibration(model)
    check(model)
    return model


def add_calibration(model: onnx.ModelProto) -> None:
    """Puts `logit = calibration_scale * z + calibration_shift` between head and outputs.

    Two constants, float32 `[classes]`, that change nothing until they are filled: 1 and 0.
    """
    graph = model.graph
    classes = graph.output[0].type.tensor_type.shape.dim[1].dim_value
    for name, value in ((SCALE, 1), (SHIFT, 0)):
        constant = np.full(classes, value, dtype=np.float32)
        graph.initializer.append(numpy_helper.from_array(constant, name))
    place, head = next(
        (place, node) for place, node in enumerate(graph.node) if "logit" in node.output
    )
    head.output[0] = "uncalibrated_logit"
    graph.node.insert(
        place + 1,
        helper.make_node(
            "Mul", ["uncalibrated_logit", SCALE], ["scaled_logit"],
            name="calibration_multiply",
        ),
    )  # fmt: skip
    graph.node.insert(
        place + 2,
        helper.make_node(
            "Add", ["scaled_logit", SHIFT], ["logit"], name="calibration_add"
        ),
    )


def recalibrate(model: onnx.ModelProto, recalibration: Recalibration) -> None:
    """Fills the two constants of an exported graph, which nothing else of it depends on."""
    for name, values in ((SCALE, recalibration.scale), (SHIFT, recalibration.shift)):
        constant = next(each for each in model.graph.initializer if each.name == name)
        constant.CopyFrom(numpy_helper.from_array(np.array(values, dtype=np.float32), name))


def constants_of(model: onnx.ModelProto) -> dict[str, npt.NDArray[Any]]:
    """Name -> values of every constant of a graph."""
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}


def check(model: onnx.ModelProto) -> None:
    """onnx's own checker in full; raises its errors, which would be a bug of this package."""
    onnx.checker.check_model(model, full_check=True)
    left = {node.op_type for node in model.graph.node} & {"BatchNormalization"}
    assert not left, "batch norm is part of a convolution, or has become one"


def strip_notes(message: Any) -> None:
    """Clears what exporters note down in a protobuf message and in everything inside it."""
    for field, value in message.ListFields():
        if field.name in NOTES:
            message.ClearField(field.name)
        elif field.message_type is not None:
            for part in value if field.is_repeated else [value]:
                strip_notes(part)


def name_layers(model: onnx.ModelProto) -> None:
    """Calls what has weights as PyTorch does, `backbone.layer1.0.conv1`: reports name layers."""
    given = set()
    for node in model.graph.node:
        name = node.input[1].removesuffix(".weight") if node.op_type in LAYERS else ""
        if name and name not in given:  # layers of the same weights are given one tensor
            given.add(name)
            node.name = name


def replace_norms(model: onnx.ModelProto) -> None:
    """Batch norms that follow no convolution, as DenseNet's, to convolutions of one pixel.

    x · s + t for each channel, with s = scale / √(variance + epsilon) and t = bias − mean · s: a
    depthwise convolution, which runtimes join with the ReLU behind it, and which has 8-bit forms.
    """
    graph, constants, given = model.graph, constants_of(model), set[str]()
    for node in [node for node in graph.node if node.op_type == "BatchNormalization"]:
        numbers = (constants[name].astype(np.float64) for name in node.input[1:])
        scale, bias, mean, variance = numbers
        epsilon = next(each.f for each in node.attribute if each.name == "epsilon")
        weight = scale / np.sqrt(variance + epsilon)
        # Tensors of the same numbers, such as scales that are all 1, have been made one.
        name = node.input[3].rpartition(".")[0]
        name = node.name if name in given else name
        given.add(name)
        node.input[1:] = [f"{name}.conv.weight", f"{name}.conv.bias"]
        for key, values in zip(
            node.input[1:], (weight[:, None, None, None], bias - mean * weight), strict=True
        ):
            graph.initializer.append(numpy_helper.from_array(values.astype(np.float32), key))
        node.op_type = "Conv"
        del node.attribute[:]
        node.attribute.append(helper.make_attribute("group", len(weight)))
    drop_unread(graph)


def drop_unread(graph: onnx.GraphProto) -> None:
    """Removes the constants that no operation reads."""
    read = {name for node in graph.node for name in node.input}
    for constant in [constant for constant in graph.initializer if constant.name not in read]:
        graph.initializer.remove(constant)


def pool_globally(model: onnx.ModelProto) -> None:
    """Average pooling over the whole plane by its own name, which runtimes have fast code for."""
    shapes = {
        value.name: [dim.dim_value for dim in value.type.tensor_type.shape.dim]
        for value in onnx.shape_inference.infer_shapes(model).graph.value_info
    }
    for node in model.graph.node:
        if node.op_type == "AveragePool":
            kernel = next(list(a.ints) for a in node.attribute if a.name == "kernel_shape")
            if kernel == shapes.get(node.input[0], [])[2:]:
                node.op_type = "GlobalAveragePool"
                del node.attribute[:]


def equal_pooling(inputs: int, outputs: int) -> tuple[int, int] | None:
    """Kernel and stride of the average pooling that adaptive pooling is along one axis, if any.

    Adaptive pooling's window i begins at floor(i · inputs / outputs) and ends before
    ceil((i + 1) · inputs / outputs): torch.nn.AdaptiveAvgPool2d. Where all windows are equally
    long and equally far apart, that is plain pooling; VGG-16's 8 to 7 is kernel 2, stride 1.
    (One row to several is none: its windows do not move.)
    """
    begins = [i * inputs // outputs for i in range(outputs)]
    ends = [-(-(i + 1) * inputs // outputs) for i in range(outputs)]
    kernel, stride = ends[0] - begins[0], begins[1] - begins[0] if outputs > 1 else 1
    same = all(
        begin == i * stride and end == begin + kernel
        for i, (begin, end) in enumerate(zip(begins, ends, strict=True))
    )
    return (kernel, stride) if same and stride else None


def plain_pooling(backbone: nn.Module, image_size: int) -> None:
    """Replaces adaptive pooling by the plain pooling that equals it at this size, where one does.

    Where none does, the module stays, and the graph becomes a large but correct one.
    """
    sides: dict[str, int] = {}

    def remember(name: str) -> Callable[..., None]:
        def hook(module: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
            sides[name] = inputs[0].shape[-1]

        return hook

    pools = {
        name: module for name, module in backbone.named_modules() if _adaptive(module) is not None
    }
    hooks = [module.register_forward_pre_hook(remember(name)) for name, module in pools.items()]
    with torch.inference_mode():
        backbone(torch.zeros(1, 1, image_size, image_size))
    for handle in hooks:
        handle.remove()
    for name, module in pools.items():
        outputs, flatten = _adaptive(module) or (0, False)
        plain = equal_pooling(sides[name], outputs) if name in sides else None
        if plain is not None:
            kernel, stride = plain
            parent, _, last = name.rpartition(".")
            pool: nn.Module = nn.AvgPool2d(kernel, stride)
            if flatten:
                pool = nn.Sequential(pool, nn.Flatten())
            setattr(backbone.get_submodule(parent), last, pool)


def _adaptive(module: nn.Module) -> tuple[int, bool] | None:
    """Rows and columns that an adaptive average pooling gives, and whether it flattens them."""
    if isinstance(module, nn.AdaptiveAvgPool2d):
        size = module.output_size
        rows, columns = size if isinstance(size, tuple) else (size, size)
        return (rows, False) if rows is not None and rows == columns else None
    # timm's, a mean over the plane, which is elsewhere where channels come last.
    if type(module).__name__ == "FastAdaptiveAvgPool" and module.dim == (2, 3):
        return 1, bool(module.flatten)
    return None
