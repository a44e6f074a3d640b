"""Networks: grey stems that equal colour ones, heads, and what of a network trains."""

import functools

import pytest
import torch
import torchvision.models
from torch import nn

from covid.config import ModelConfig
from covid.errors import ConfigError
from covid.model.architectures import ARCHITECTURES
from covid.model.networks import (
    Network,
    Prefix,
    average,
    build_network,
    freeze,
    frozen_layers,
    layers,
    normalise,
    set_training_mode,
    suffix,
    trained,
)

SIZE = 64
# One of each family of timm's that its own way of computing sets apart.
TIMM = (
    "densenet121", "mobilenetv3_large_100", "convnext_atto", "resnet50", "efficientnet_b0",
    "vit_tiny_patch16_224",
)  # fmt: skip


def config(arch: str = "resnet18", **keys: object) -> ModelConfig:
    return ModelConfig.model_validate({"arch": arch, "weights": "none", "hidden_units": 8, **keys})


def make(arch: str = "resnet18", size: int = SIZE, **keys: object) -> Network:
    torch.manual_seed(0)
    return build_network(config(arch, **keys), 3, mean=0.5, std=0.25, image_size=size)


@pytest.mark.parametrize("arch", [*ARCHITECTURES, *TIMM])
def test_a_network_takes_grey_bytes_and_gives_a_logit_a_class(arch: str) -> None:
    network = made_once(arch)
    with torch.inference_mode():
        assert network(some_images()).shape == (2, 3)


@pytest.mark.parametrize("arch", ["resnet18", "vit_tiny_patch16_224"])
def test_a_network_is_made_for_the_size_of_the_images(arch: str) -> None:
    network = make(arch, size=96).eval()
    with torch.inference_mode():
        assert network(torch.zeros(2, 1, 96, 96, dtype=torch.uint8)).shape == (2, 3)


def test_a_network_is_made_in_training_mode_with_untouched_batch_statistics() -> None:
    network = make()
    assert all(module.training for module in network.modules())
    statistics = network.state_dict()
    assert not statistics["backbone.bn1.running_mean"].any()
    assert not statistics["backbone.bn1.num_batches_tracked"]


def test_the_first_weights_under_a_seed_are_torchvision_s() -> None:
    network = make()
    torch.manual_seed(0)
    published = torchvision.models.resnet18().state_dict()
    for name in ("layer1.0.conv1.weight", "layer4.1.conv2.weight"):
        assert torch.equal(network.state_dict()[f"backbone.{name}"], published[name])


def test_a_size_that_a_network_cannot_take_is_a_sentence() -> None:
    message = r"^model\.arch: inception_v3 does not take .* 64 × 64 pixels .*data\.image_size"
    with pytest.raises(ConfigError, match=message):
        make("inception_v3")


# davit pads the image before its stem; fastvit's stem is two convolutions side by side.
@pytest.mark.parametrize("arch", ["davit_tiny", "fastvit_t8"])
def test_a_network_without_one_plain_first_convolution_is_refused(arch: str) -> None:
    with pytest.raises(ConfigError, match=f"^model.arch: no grey stem can be made of {arch}"):
        make(arch)


def test_normalisation_is_inside_the_network() -> None:
    network = make()
    network.backbone = nn.Identity()
    network.head = nn.Identity()
    image = torch.full((1, 1, 2, 2), 255, dtype=torch.uint8)
    assert (network(image) == (1 - 0.5) / 0.25).all()


def test_the_head_has_the_hidden_units_and_the_dropout_of_the_config() -> None:
    head = make(hidden_units=11, dropout=0.3).head
    assert [type(layer).__name__ for layer in head.children()] == [
        "Linear", "ReLU", "Dropout", "Linear",
    ]  # fmt: skip
    assert head.state_dict()["0.weight"].shape == (11, 512)
    assert repr(head.get_submodule("2")) == "Dropout(p=0.3, inplace=False)"


def test_weights_are_in_channels_last() -> None:
    weight = make().state_dict()["backbone.layer1.0.conv1.weight"]
    assert weight.is_contiguous(memory_format=torch.channels_last)


def test_training_the_head_leaves_the_backbone_without_gradients() -> None:
    network = make()
    freeze(network, "head")
    given = {id(parameter) for layer in trained(network) for parameter in layer}
    assert given == {id(parameter) for parameter in network.head.parameters()}


def test_training_all_trains_every_parameter() -> None:
    network = make()
    freeze(network, "all")
    assert sum(map(len, trained(network))) == len(list(network.parameters()))


def test_layers_go_from_the_head_down_to_the_stem_with_its_normalisation() -> None:
    network = make()
    layers = trained(network)
    assert len(layers) == 10  # head, eight blocks, stem
    below_the_head = network.backbone.get_submodule("layer4.1").parameters()
    assert all(a is b for a, b in zip(layers[1], below_the_head, strict=True))
    assert len(layers[-1]) == 3  # weights of the convolution, scale and shift of its normalisation


def test_named_modules_train_beside_the_head() -> None:
    network = make()
    freeze(network, ["layer4.1"])
    names = {name for name, parameter in network.named_parameters() if parameter.requires_grad}
    expected = (f"backbone.layer4.1.{one}" for one in dict(
        network.backbone.get_submodule("layer4.1").named_parameters()
    ))  # fmt: skip
    assert names == {*expected, "head.0.weight", "head.0.bias", "head.3.weight", "head.3.bias"}


def test_an_unknown_module_is_refused_with_those_near_it() -> None:
    with pytest.raises(ConfigError, match=r"'layer4\.7' is no module .* layer4\.1"):
        freeze(make(), ["layer4.7"])


def test_a_module_without_parameters_is_refused() -> None:
    with pytest.raises(ConfigError, match="relu has no parameters"):
        freeze(make(), ["relu"])


@pytest.mark.parametrize("trainable", ["head", ["layer4.1"]])
@pytest.mark.parametrize("arch", ["resnet18"])
def test_what_is_frozen_stays_to_the_bit_through_training(arch: str, trainable: str) -> None:
    network = make(arch)
    freeze(network, trainable)
    frozen = [one for name, one in network.state_dict().items() if is_frozen(name, trainable)]
    before = [one.clone() for one in frozen]
    parameters = [parameter for layer in trained(network) for parameter in layer]
    optimizer = torch.optim.SGD(parameters, 0.1, momentum=0.9)
    for _ in range(2):
        set_training_mode(network, trainable)
        images = torch.randint(0, 256, (4, 1, 64, 64), dtype=torch.uint8)
        network(images).square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()
    assert all(torch.equal(a, b) for a, b in zip(before, frozen, strict=True))


def is_frozen(name: str, trainable: str | list[str]) -> bool:
    names = [] if trainable == "head" else [f"backbone.{one}." for one in trainable]
    return not name.startswith(("head.", *names))


def test_batch_statistics_of_what_trains_move() -> None:
    network = make()
    freeze(network, ["layer4.1"])
    set_training_mode(network, ["layer4.1"])
    statistics = network.backbone.get_submodule("layer4.1.bn1").running_mean
    assert isinstance(statistics, torch.Tensor)
    before = statistics.clone()
    network(torch.randint(0, 256, (4, 1, 64, 64), dtype=torch.uint8))
    assert not torch.equal(before, statistics)


def test_dropout_of_the_head_is_on_while_the_backbone_is_frozen() -> None:
    network = make(dropout=0.5)
    set_training_mode(network, "head")
    assert network.head.training and not network.backbone.training


def test_an_average_follows_its_formula() -> None:
    network = make()
    averaged = average(network, 0.9, torch.device("cpu"))
    averaged.update_parameters(network)
    bias = network.state_dict()["head.3.bias"]
    before = bias.clone()
    bias.add_(1)
    averaged.update_parameters(network)
    after = averaged.state_dict()["module.head.3.bias"]
    # Float32 rounding of one product and one sum.
    assert torch.allclose(after, before + 0.1, atol=1e-6)


def some_images() -> torch.Tensor:
    return torch.randint(0, 256, (2, 1, 64, 64), dtype=torch.uint8)


@functools.cache  # VGG-16 takes seconds to make
def made_once(arch: str) -> Network:
    """For tests that look at a network, or freeze it, and change no weight."""
    return make(arch).eval()


@pytest.mark.parametrize("arch", [*ARCHITECTURES, *TIMM])
def test_a_network_s_layers_in_turn_are_the_network_to_the_bit(arch: str) -> None:
    network, images = made_once(arch), some_images()
    with torch.inference_mode():
        result = normalise(images, network.mean, network.std)
        for layer in layers(network):
            result = layer.module(result)
        assert torch.equal(result, network(images))


@pytest.mark.parametrize("arch", [*ARCHITECTURES, *TIMM])
def test_every_weight_belongs_to_one_layer(arch: str) -> None:
    network = made_once(arch)
    owned = [id(each) for layer in layers(network) for each in layer.module.parameters()]
    assert sorted(owned) == sorted(id(each) for each in network.parameters())


@pytest.mark.parametrize("arch, expected, count", [
    ("resnet18", ["maxpool", "layer1.0", "layer1.1", "layer2.0"], 14),
    ("vgg16", ["features.30", "avgpool", "head"], 33),
    ("efficientnet_lite0", ["blocks.0.0", "blocks.1.0", "blocks.1.1"], 22),
    ("densenet121", ["features.denseblock1", "features.transition1"], 14),
    ("mobilenetv3_large_100", ["blocks.6.0", "global_pool", "conv_head", "act2"], 23),
    ("convnext_atto", ["stem.0", "stem.1", "stages.0"], 8),
    ("vit_tiny_patch16_224", ["backbone", "head"], 2),
])  # fmt: skip
def test_layers_are_as_small_as_the_backbone_allows(
    arch: str, expected: list[str], count: int
) -> None:
    names = [layer.name for layer in layers(made_once(arch))]
    start = names.index(expected[0])
    assert (names[start : start + len(expected)], len(names)) == (expected, count)


@pytest.mark.parametrize("arch, trainable, last", [
    ("resnet18", "head", "avgpool"),
    ("resnet18", ["layer4.1"], "layer4.0"),
    ("resnet18", ["layer4.1.conv2"], "layer4.0"),
    ("resnet18", ["layer4", "layer2.1"], "layer2.0"),
    ("vgg16", ["features.28"], "features.27"),
    ("vgg16", "head", "avgpool"),
    ("efficientnet_lite0", ["blocks.6"], "blocks.5.3"),
    ("efficientnet_lite0", ["bn2"], "conv_head"),
    ("densenet121", ["features.denseblock4"], "features.transition3"),
    ("convnext_atto", ["stages.3.blocks.1"], "stages.2"),
    ("vit_tiny_patch16_224", "head", "backbone"),
])  # fmt: skip
def test_the_frozen_prefix_ends_before_the_first_layer_that_trains(
    arch: str, trainable: str | list[str], last: str
) -> None:
    network = made_once(arch)
    freeze(network, trainable)
    steps = layers(network)
    assert steps[frozen_layers(steps) - 1].name == last


@pytest.mark.parametrize("arch, trainable", [
    ("resnet18", "all"), ("resnet18", ["conv1"]), ("vit_tiny_patch16_224", ["blocks.11"]),
])  # fmt: skip
def test_where_the_first_layer_trains_the_frozen_prefix_is_empty(
    arch: str, trainable: str | list[str]
) -> None:
    network = make(arch)
    freeze(network, trainable)
    assert frozen_layers(layers(network)) == 0


@pytest.mark.parametrize("cut", [1, 5, 13])
def test_prefix_and_suffix_are_the_network_to_the_bit(cut: int) -> None:
    network, images = make().eval(), some_images()
    prefix = Prefix(network, layers(network)[:cut])
    with torch.inference_mode():
        assert torch.equal(suffix(network, cut)(prefix(images)), network(images))


def test_the_layers_of_an_average_are_its_own_modules() -> None:
    averaged = average(make(), 0.9, torch.device("cpu")).module
    assert isinstance(averaged, Network)
    assert layers(averaged)[0].module is averaged.backbone.get_submodule("conv1")


def test_a_suffix_trains_the_network_s_own_weights() -> None:
    network = make()
    suffix(network, 13)(torch.rand(4, 512)).sum().backward()
    assert all(each.grad is not None for each in network.head.parameters())
