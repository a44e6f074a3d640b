"""Configs: what is written is what is meant, and each mistake has its sentence."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from covid.config import Config, config_from_tree, load_config, resolve
from covid.errors import ConfigError
from covid.project import PROJECT

CONFIGS = sorted((PROJECT / "configs").rglob("*.yaml"))
BASE = PROJECT / "configs" / "resnet18_multilabel.yaml"


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_config_of_the_project_loads_under_its_own_name(path: Path) -> None:
    assert load_config(path).name == path.stem


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_config_opens_with_its_command(path: Path) -> None:
    first = path.read_text().splitlines()[0]
    assert first == (
        f"# accelerate launch --quiet train.py --config configs/{path.relative_to(BASE.parent)}"
    )


def test_the_twelve_experiments_of_the_study_are_there() -> None:
    binary = {"head": "head", "all": "all"}
    three = ("features.24", "features.26", "features.28")
    vgg = binary | {"conv1": three[2:], "conv3": three}
    resnet = binary | {"block1": ("layer4.1",), "block2": ("layer3", "layer4")}
    as_named = {}
    for arch, parts in (("vgg16", vgg), ("resnet18", resnet)):
        for part in parts:
            config = load_config(PROJECT / f"configs/{arch}_binary_{part}.yaml")
            as_named[f"{arch} {part}"] = config.model.trainable == parts[part]
            as_named[f"{arch} {part} loss"] = config.loss.name == "cross_entropy"
        for loss in ("multilabel", "multilabel_focal"):
            config = load_config(PROJECT / f"configs/{arch}_{loss}.yaml")
            as_named[f"{arch} {loss}"] = (config.loss.name == "focal") == loss.endswith("focal")
    assert all(as_named.values()), as_named


def test_a_config_reads_back_as_it_was_written(tmp_path: Path) -> None:
    config = load_config(BASE, ["precision=no", "cache_features=off", "optimizer.lr=1e-3"])
    (tmp_path / "config.yaml").write_text(config.to_yaml())
    assert load_config(tmp_path / "config.yaml") == config


def test_a_config_cannot_be_changed() -> None:
    config = load_config(BASE)
    with pytest.raises(ValueError, match="frozen"):
        config.epochs = 3


@pytest.mark.parametrize("word", ["no", "bf16", "auto"])
def test_the_words_no_and_off_are_words(word: str) -> None:
    assert load_config(BASE, [f"precision={word}"]).precision == word


def test_a_number_with_an_exponent_is_a_number() -> None:
    assert load_config(BASE, ["optimizer.lr=1e-3"]).optimizer.lr == 0.001


def test_a_relative_path_on_the_command_line_starts_at_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert resolve(load_config(BASE, ["data.root=here"]).data.roots[0]) == tmp_path / "here"


def test_each_of_several_roots_on_the_command_line_starts_at_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    config = load_config(BASE, ["data.root=[here, phantom]"])
    assert config.data.roots == (str(tmp_path / "here"), "phantom")


def test_a_root_that_is_no_text_is_named() -> None:
    with pytest.raises(ConfigError, match="data.root: must be a folder, a list of folders"):
        load_config(BASE, ["data.root=3"])


def test_a_relative_path_in_a_config_starts_at_the_project() -> None:
    assert resolve(load_config(BASE).data.roots[0]) == PROJECT / "data/xray3"


def test_phantom_on_the_command_line_is_no_path() -> None:
    assert load_config(BASE, ["data.root=phantom"]).data.root == "phantom"


def test_another_optimizer_leaves_nothing_of_the_base_s_behind() -> None:
    config = load_config(BASE, ["optimizer.lr=0.1", "optimizer.name=adamw"])
    expected = {"name": "adamw", "lr": 0.1, "weight_decay": 0.01, "layer_decay": 1.0}
    assert config.optimizer.model_dump() == expected


def test_the_same_optimizer_keeps_the_base_s_other_values() -> None:
    config = load_config(BASE, ["optimizer.lr=0.1"])
    assert config.optimizer.model_dump()["momentum"] == 0.9


def test_a_stage_says_what_differs_dotted_or_nested() -> None:
    stages = "[{epochs: 3, model.trainable: head}, {optimizer: {lr: 0.5}}]"
    first, second = load_config(BASE, [f"stages={stages}", "epochs=4"]).plan()
    assert (first.epochs, first.model.trainable, first.optimizer.lr) == (3, "head", 0.01)
    assert (second.epochs, second.model.trainable, second.optimizer.lr) == (4, "all", 0.5)


def test_a_config_without_stages_is_one_stage() -> None:
    config = load_config(BASE)
    assert config.plan() == [config] and config.all_epochs == config.epochs


def test_labels_of_a_base_are_replaced_as_a_whole(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text(BASE.read_text())
    child = "base: base.yaml\ndata: {labels: {ill: [ill], well: [well]}}\n"
    (tmp_path / "child.yaml").write_text(child)
    assert list(load_config(tmp_path / "child.yaml").data.labels) == ["ill", "well"]


def test_features_are_not_asked_for_where_no_cache_is_kept() -> None:
    settings = ["model.trainable=head", "data.cache=false", "cache_features=on"]
    with pytest.raises(ConfigError, match="which needs data.cache: true"):
        load_config(BASE, settings)


@pytest.mark.parametrize(("augment", "why"), [
    ("[{name: flip}]", "data.variants bounds that"),
    ("[{name: mixup, alpha: 0.2}]", "mixup shows other mixtures in every epoch"),
])  # fmt: skip
def test_features_are_not_asked_for_where_every_epoch_shows_something_else(
    augment: str, why: str
) -> None:
    settings = ["model.trainable=head", "cache_features=on", f"data.augment={augment}"]
    with pytest.raises(ConfigError, match=f"cache_features: is on, but .*{why}"):
        load_config(BASE, settings)


@pytest.mark.parametrize(("written", "meant"), [
    ("{name: affine, degrees: 10}", {"degrees": (-10, 10), "scale": (1, 1)}),
    ("{name: affine, scale: 0.15}", {"scale": (0.85, 1.15)}),
    ("{name: affine, scale: [0.9, 1]}", {"scale": (0.9, 1)}),
    ("{name: gamma, range: 0.5}", {"range": (0.5, 1.5)}),
    ("{name: noise, deviation: 0.1}", {"deviation": (0, 0.1)}),
    ("{name: flip}", {"probability": 0.5}),
    ("{name: equalize}", {"probability": 1, "share": (1, 1)}),
    ("{name: equalize, share: 0.7}", {"share": (0, 0.7)}),
])  # fmt: skip
def test_a_number_reaches_to_both_sides_of_what_changes_nothing(
    written: str, meant: dict[str, object]
) -> None:
    (section,) = load_config(BASE, [f"data.augment=[{written}]"]).data.augment
    assert {key: getattr(section, key) for key in meant} == meant


@pytest.mark.parametrize("setting", [
    "data.augment=[{name: affine, degrees: 10, scale: [0.9, 1.2]}, {name: mixup, alpha: 0.2}]",
    "loss.positive_weight={covid: 5}",
    "loss.positive_weight=[1, 2, 3]",
])  # fmt: skip
def test_what_is_written_in_short_reads_back_in_full(setting: str, tmp_path: Path) -> None:
    config = load_config(BASE, [setting])
    (tmp_path / "config.yaml").write_text(config.to_yaml())
    assert load_config(tmp_path / "config.yaml") == config


MISTAKES = {
    "epoch=3": "epoch: is not a known key; did you mean epochs",
    "epochs=two": "epochs: must be a whole number, not 'two'",
    "epochs=0": "epochs: must be greater than or equal to 1",
    "epochs": "must look like KEY=VALUE",
    "data=[]": "data: must be keys and values",
    "data.rot=x": "data.rot: is not a known key; did you mean root",
    "data.horizontal_flip=yes": "data.horizontal_flip: must be true or false",
    "data.augment=flip": "data.augment: must be a list, such as [{name: flip}], not 'flip'",
    "data.augment=[flip]": "data.augment.0: must be keys and values, not 'flip'",
    "data.augment=[{name: turn}]": "data.augment.0.name: 'turn' is not one of flip, affine, gamma",
    "data.augment=[{range: 2}]": "data.augment.0.name: is missing",
    "data.augment=[{name: flip}, {name: gamma}]": "data.augment.1.range: is missing",
    "data.augment=[{name: affine}]": "data.augment.0: needs at least one of degrees, scale,",
    "data.augment=[{name: affine, degres: 3}]": "data.augment.0.degres: is not a known key; did "
    "you mean degrees",
    "data.augment=[{name: affine, degrees: 200}]": "data.augment.0.degrees: must be a number, the "
    "most to both sides of 0, or [low, high], within -180..180, not 200",
    "data.augment=[{name: affine, scale: 2}]": "data.augment.0.scale: must be a number, the most",
    "data.augment=[{name: gamma, range: [2, 1]}]": "data.augment.0.range: must be a number",
    "data.augment=[{name: noise, deviation: 10}]": "data.augment.0.deviation: must be a number, "
    "the highest, or [low, high], within 0..1, not 10",
    "data.augment=[{name: blur, sigma: .nan}]": "data.augment.0.sigma: must be a number",
    "data.augment=[{name: flip, probability: 0}]": "data.augment.0.probability: must be greater",
    "data.augment=[{name: mixup, alpha: 1}, {name: mixup, alpha: 1}]": "mixup may stand there once",
    "data.variants=3": "data.variants: is the number of drawings that data.augment makes",
    "data.sampler=even": "data.sampler: must be shuffle or balanced",
    "loss.positive_weight={cvid: 3}": "loss.positive_weight: cvid is no class; the classes are",
    "loss.positive_weight=[1, 2]": "must hold 3 numbers, for covid, normal, pneumonia, not 2",
    "loss.positive_weight=0": "loss.positive_weight: must be balanced, a number above 0 for each",
    "data.labels={covid: covid}": "data.labels.covid: must be a list",
    "data.labels={1: [a]}": "must be text",
    "data.labels={a: []}": "at least two different labels",
    "data.labels={a|b: [a], c: [c]}": "data.labels: the key 'a|b' is none that a manifest can name",
    "data.labels={'a?': [a], c: [c]}": "data.labels: the key 'a?' is none that a manifest can name",
    "data.labels={' a': [a], c: [c]}": "data.labels: the key ' a' is none that a manifest can name",
    "data.labels={'': [a], c: [c]}": "data.labels: the key '' is none that a manifest can name",
    "data.uncertain=maybe": "data.uncertain: must be ignore, positive or negative, not 'maybe'",
    "data.labels={a: [a]}": "at least two different labels",
    "data.labels={a: [a, a], b: [b]}": "data.labels.a: a label stands there twice",
    "data.labels={a: [a, b], b: [b], c: [a]}": "data.labels.c: lacks b",
    "data.labels={a: [x+y], b: [b]}": "may not contain '+'",
    "model.arch=18": "model.arch: must be text",
    "model.trainable=some": "model.trainable: must be all, head, or a list",
    "model.dropout=1": "model.dropout: must be less than 1",
    "loss={}": "loss.name: is missing",
    "loss.name=hinge": "loss.name: 'hinge' is not one of",
    "loss.gamma=2": "loss.gamma: is not a known key",
    "loss.name=cross_entropy": "does not fit task multilabel",
    "task=single_label": "does not fit task single_label",
    "optimizer.name=adam": "optimizer.lr: is missing",
    "optimizer.lr=.nan": "optimizer.lr: must be",
    "scheduler.patience=-1": "scheduler.patience: must be",
    "scheduler={name: cosine, warmup_epochs: 10}": "warmup_epochs: must be smaller than epochs",
    "precision=fp8": "precision: must be auto, no, bf16 or fp16",
    "ema=1": "ema: must be less than 1",
    "seed=-1": "seed: must be",
    "cache_features=yes": "cache_features: must be auto, on or off",
    "cache_features=on": "cache_features: on needs frozen layers, but model.trainable is all",
    "name=a/b": "name: 'a/b' may hold",
    "optimizer.layer_decay=0": "optimizer.layer_decay: must be greater than 0",
    "stages=[{epochs: 0}]": "stages.0.epochs: must be greater than or equal to 1",
    "stages=[{epochs: 1}, {seed: 1}]": "stages.1.seed: is not what a stage can set",
    "stages=[{optimizer: {lr: 2, name: adam, momentum: 1}}]": "stages.0.optimizer.momentum: is not",
    "stages=[head]": "stages.0: must be keys and values",
    "epochs=[": "is not valid YAML",
    "epochs=*x": "aliases are not allowed",
    "epochs=!!python/object/apply:os.getcwd []": "is not valid YAML",
}


@pytest.mark.parametrize("setting", MISTAKES)
def test_a_mistake_has_its_sentence(setting: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(BASE, [setting])
    assert MISTAKES[setting] in str(caught.value)
    assert "\n" not in str(caught.value)


SINGLE = ("task=single_label", "loss.name=cross_entropy", "data.labels={a: [a], b: [b]}")


def test_a_label_set_may_be_empty_and_reads_back(tmp_path: Path) -> None:
    labels = "data.labels={No Finding: [], Edema: [Edema], Effusion: [Effusion]}"
    config = load_config(BASE, [labels, "data.uncertain=positive"])
    assert (config.label_space.classes, config.label_space.uncertain) == (
        ("Edema", "Effusion"), "positive",
    )  # fmt: skip
    assert "No Finding: []" in config.to_yaml()
    (tmp_path / "config.yaml").write_text(config.to_yaml())
    assert load_config(tmp_path / "config.yaml") == config


def test_a_single_label_is_neither_none_nor_taken_for_false() -> None:
    with pytest.raises(ConfigError, match="exactly one label here, but none stand there"):
        load_config(BASE, [*SINGLE[:2], "data.labels={a: [], b: [b], c: [c]}"])
    with pytest.raises(ConfigError, match="data.uncertain: negative leaves an image in doubt no"):
        load_config(BASE, [*SINGLE, "data.uncertain=negative"])


def test_a_key_that_stands_twice_is_refused(tmp_path: Path) -> None:
    (tmp_path / "twice.yaml").write_text("epochs: 3\nepochs: 4\n")
    with pytest.raises(ConfigError, match="line 2: .* epochs stands there twice"):
        load_config(tmp_path / "twice.yaml")


def test_a_circle_of_bases_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("base: b.yaml\n")
    (tmp_path / "b.yaml").write_text("base: a.yaml\n")
    with pytest.raises(ConfigError, match="break the circle"):
        load_config(tmp_path / "a.yaml")


def test_a_missing_config_names_those_that_are_near() -> None:
    with pytest.raises(ConfigError, match=r"no such config; .* resnet18_multilabel\.yaml"):
        load_config(BASE.with_name("resnet_multilabel.yaml"))


def test_a_config_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="is not UTF-8 text"):
        load_config(tmp_path / "binary.yaml")


def test_a_config_of_100_megabytes_is_refused_unread(tmp_path: Path) -> None:
    with (tmp_path / "large.yaml").open("wb") as file:
        file.truncate(100_000_000)  # a hole: takes no room, and would be read as zeros
    with pytest.raises(ConfigError, match="is over 1 MB"):
        load_config(tmp_path / "large.yaml")


def sections(tree: dict[str, Any], path: str = "") -> Iterator[str]:
    """Every key of a config and of its sections, dotted."""
    for key, value in tree.items():
        yield f"{path}{key}"
        if isinstance(value, dict):
            yield from sections(value, f"{path}{key}.")


KEYS = sorted(sections(load_config(BASE).model_dump(mode="json")))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=2)
    | st.dictionaries(st.text(max_size=4), inner, max_size=2),
    max_leaves=4,
)


@given(st.sampled_from(KEYS), VALUES)
def test_any_value_of_any_key_is_a_config_or_our_error(key: str, value: object) -> None:
    tree = load_config(BASE).model_dump(mode="json")
    *place, last = key.split(".")
    section = tree
    for one in place:
        section = section[one]
    section[last] = value
    with contextlib.suppress(ConfigError):
        assert isinstance(config_from_tree(tree, "a.yaml"), Config)


@pytest.mark.parametrize("section", ["", "data.", "model.", "loss.", "optimizer.", "scheduler."])
def test_a_key_that_no_section_knows_is_refused(section: str) -> None:
    with pytest.raises(ConfigError, match=f"{section}surprise: is not a known key"):
        load_config(BASE, [f"{section}surprise=1"])


@given(st.text(max_size=40))
def test_any_text_as_a_value_is_a_config_or_our_error(text: str) -> None:
    try:
        assert isinstance(load_config(BASE, [f"data.image_size={text}"]), Config)
    except ConfigError as error:
        assert str(error).count("\n") == 0
