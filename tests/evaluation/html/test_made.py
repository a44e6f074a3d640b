"""How a network was made, as far as its files say."""

from typing import Any

from covid.evaluation.html.made import made_section
from tests.evaluation.report_page import Page


def made(**more: Any) -> Page:
    known: dict[str, Any] = {
        "settings": {}, "config": None, "summary": None, "hashes": {}, "warnings": [], **more,
    }  # fmt: skip
    return Page(made_section({"run": "small", "data": "xray", "split": "test"}, **known))


def test_seed_versions_digests_and_config_stand_there() -> None:
    page = made(
        settings={"seed": 7, "model": {"arch": "resnet18"}, "data": {"image_size": 64}},
        config="seed: 7\n# <b>&\n",
        summary={"versions": {"torch": "2"}, "device": "cpu", "precision": "bf16", "epochs": 3,
                 "best_epoch": 2, "select_by": "loss", "seconds": 1200.0},
        hashes={"best.safetensors": "abc"},
        warnings=["An image is odd."],
    )  # fmt: skip
    for words in ("seed of training and of splits 7", "torch 2", "cpu, bf16", "20 minutes",
                  "2 of 3, chosen by loss on validation", "64 × 64", "best.safetensors abc",
                  "seed: 7 # <b>&", "An image is odd."):  # fmt: skip
        assert words in page.text
    assert not page.mistakes


SUMMARY = {"versions": {"torch": "2"}, "device": "cpu", "precision": "bf16", "epochs": 3,
           "best_epoch": 2, "seconds": 1200.0, "status": "finished", "data": "xray"}  # fmt: skip


def folds() -> Page:
    networks = [
        {"fold": "1of2", "run": "small", "epoch": 2, "trained_on_sha256": "ab"},
        {"fold": "2of2", "run": "small", "epoch": 5, "trained_on_sha256": "cd"},
    ]
    metrics = {"run": "small", "split": "folds", "networks": networks}
    return Page(made_section(metrics, {}, None, SUMMARY, {}, ["Odd."], together=True))


def test_each_fold_has_a_row_of_its_network() -> None:
    assert "1of2 2 ab 2of2 5 cd" in folds().text and not folds().mistakes


def test_what_one_fold_did_is_not_said_of_all() -> None:
    text = folds().text
    for words in ("2 of 3", "20 minutes", "cpu, bf16", "finished", "Warnings of the training Odd",
                  "Versions: "):  # fmt: skip
        assert words not in text
    assert "trained on xray" in text and "Versions of the first fold: torch 2" in text


def test_grey_levels_of_all_folds_are_said_to_be() -> None:
    assert "deviation of the images of all folds together" in folds().text
    assert "deviation of the training images" in made().text


def test_what_is_missing_is_said() -> None:
    text = made().text
    assert "no config.yaml" in text and "no summary.json" in text


def test_settings_that_are_of_another_kind_are_no_settings() -> None:
    assert "small" in made(settings={"model": "resnet18", "data": None}).text


def test_a_network_that_ends_early_is_not_taken_for_the_whole_one() -> None:
    short = made(settings={"model": {"arch": "resnet18", "until": "layer3"}}).text
    assert "architecture resnet18 backbone ends after layer3" in short
    assert "ends after" not in made(settings={"model": {"arch": "resnet18", "until": None}}).text
