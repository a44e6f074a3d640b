"""Optimisers and learning rates as the config names them."""

import math

import pytest
import torch
from torch import nn

from covid.config import SGD, Adam, AdamW, Cosine, NoScheduler, OneCycle, Plateau
from covid.training.optimizer import Schedule, make_optimizer


def one_parameter() -> list[list[nn.Parameter]]:
    return [[nn.Parameter(torch.ones(1))]]


def three_layers() -> list[list[nn.Parameter]]:
    """A head, a frozen layer, a stem."""
    return [*one_parameter(), [], *one_parameter()]


def rates(config: NoScheduler | Plateau | Cosine | OneCycle, updates: int = 10) -> list[float]:
    optimizer = make_optimizer(SGD(name="sgd", lr=0.1), one_parameter())
    schedule = Schedule(config, optimizer, epochs=2, updates_per_epoch=updates // 2)
    seen = []
    for _ in range(updates):
        seen.append(schedule.learning_rate)
        optimizer.step()
        schedule.after_update()
    return seen


@pytest.mark.parametrize(
    ("config", "kind"),
    [
        (Adam(name="adam", lr=0.1), torch.optim.Adam),
        (AdamW(name="adamw", lr=0.1), torch.optim.AdamW),
        (SGD(name="sgd", lr=0.1), torch.optim.SGD),
    ],
)
def test_the_optimiser_is_torch_s(config: Adam | AdamW | SGD, kind: type) -> None:
    assert type(make_optimizer(config, one_parameter())) is kind


def test_adam_s_numbers_are_those_of_the_study() -> None:
    group = make_optimizer(Adam(name="adam", lr=1e-3), one_parameter()).param_groups[0]
    assert (group["lr"], group["betas"], group["eps"]) == (1e-3, (0.9, 0.999), 1e-8)


def test_momentum_reaches_sgd() -> None:
    config = SGD(name="sgd", lr=0.01, momentum=0.9)
    assert make_optimizer(config, one_parameter()).param_groups[0]["momentum"] == 0.9


def test_without_a_scheduler_the_rate_stays() -> None:
    assert set(rates(NoScheduler(name="none"))) == {0.1}


def test_cosine_falls_from_the_rate_to_nothing() -> None:
    seen = rates(Cosine(name="cosine"))
    expected = [0.1 * (1 + math.cos(math.pi * update / 10)) / 2 for update in range(10)]
    assert seen == pytest.approx(expected)


def test_warmup_rises_to_the_rate_before_cosine_falls() -> None:
    seen = rates(Cosine(name="cosine", warmup_epochs=1))
    assert seen[:6] == sorted(seen[:6]) and seen[5] == pytest.approx(0.1)
    assert seen[5:] == sorted(seen[5:], reverse=True)


def test_onecycle_reaches_its_maximum() -> None:
    assert max(rates(OneCycle(name="onecycle", max_lr=0.5), updates=100)) == pytest.approx(0.5)


@pytest.mark.parametrize("kind", [SGD(name="sgd", lr=0.1), Adam(name="adam", lr=0.1)])
def test_onecycle_moves_momentum_against_the_rate(kind: SGD | Adam) -> None:
    optimizer = make_optimizer(kind, one_parameter())
    cycle = OneCycle(name="onecycle", max_lr=0.5)
    schedule = Schedule(cycle, optimizer, epochs=2, updates_per_epoch=10)
    seen = []
    for _ in range(20):
        group = optimizer.param_groups[0]
        seen.append((group["lr"], group["momentum"] if "momentum" in group else group["betas"][0]))
        optimizer.step()
        schedule.after_update()
    assert seen[0][1] == pytest.approx(0.95)
    assert max(seen) == (pytest.approx(0.5), pytest.approx(0.85))  # the rate's peak


def test_plateau_waits_for_its_patience_and_then_cuts() -> None:
    optimizer = make_optimizer(SGD(name="sgd", lr=0.1), one_parameter())
    config = Plateau(name="plateau", factor=0.1, patience=1)
    schedule = Schedule(config, optimizer, epochs=9, updates_per_epoch=1)
    seen = []
    for loss in (1.0, 1.0, 1.0):
        schedule.after_epoch(loss)
        seen.append(schedule.learning_rate)
    assert seen == pytest.approx([0.1, 0.1, 0.01])


@pytest.mark.parametrize(
    "config",
    [
        Plateau(name="plateau"),
        Cosine(name="cosine", warmup_epochs=1),
        OneCycle(name="onecycle", max_lr=0.5),
    ],
)
def test_a_schedule_goes_on_where_it_was(config: Plateau | Cosine | OneCycle) -> None:
    def make() -> tuple[torch.optim.Optimizer, Schedule]:
        optimizer = make_optimizer(SGD(name="sgd", lr=0.1), one_parameter())
        return optimizer, Schedule(config, optimizer, epochs=4, updates_per_epoch=5)

    def advance(optimizer: torch.optim.Optimizer, schedule: Schedule) -> list[float]:
        seen = []
        for _ in range(5):
            optimizer.step()
            schedule.after_update()
            seen.append(schedule.learning_rate)
        schedule.after_epoch(1.0)
        return [*seen, schedule.learning_rate]

    optimizer, schedule = make()
    advance(optimizer, schedule)
    other_optimizer, other = make()
    other_optimizer.load_state_dict(optimizer.state_dict())
    other.load_state_dict(schedule.state_dict())
    assert advance(other_optimizer, other) == advance(optimizer, schedule)


def test_a_layer_s_rate_decays_with_its_distance_from_the_head() -> None:
    optimizer = make_optimizer(SGD(name="sgd", lr=1.0, layer_decay=0.5), three_layers())
    assert [group["lr"] for group in optimizer.param_groups] == [1.0, 0.25]


def test_without_decay_all_layers_are_one_group() -> None:
    optimizer = make_optimizer(AdamW(name="adamw", lr=1.0), three_layers())
    assert [len(group["params"]) for group in optimizer.param_groups] == [2]


def test_a_schedule_keeps_the_layers_shares_of_the_rate() -> None:
    optimizer = make_optimizer(SGD(name="sgd", lr=1.0, layer_decay=0.5), three_layers())
    rise = OneCycle(name="onecycle", max_lr=8)
    schedule = Schedule(rise, optimizer, epochs=2, updates_per_epoch=5)
    for _ in range(4):
        head, stem = (group["lr"] for group in optimizer.param_groups)
        assert stem == pytest.approx(head / 4)
        optimizer.step()
        schedule.after_update()
