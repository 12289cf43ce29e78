from __future__ import annotations

from samtune.training.schedule import batch, learning_rate, step_seed
from tests.training.test_plan import plan_of


def pairs(step: int, seed: int = 0) -> list[tuple[int, int]]:
    return batch(step, num_images=5, batch_size=3, num_views=4, seed=seed)


def test_each_epoch_sees_each_image_once() -> None:
    images = [image for step in range(10) for image, _ in pairs(step)]
    for epoch in range(6):
        assert sorted(images[5 * epoch : 5 * epoch + 5]) == [0, 1, 2, 3, 4]


def test_batches_depend_on_the_seed_and_the_step_alone() -> None:
    forward = [pairs(step) for step in range(8)]
    backward = [pairs(step) for step in reversed(range(8))]
    assert forward == backward[::-1]
    assert forward != [pairs(step, seed=1) for step in range(8)]


def test_views_are_drawn_evenly() -> None:
    views = [view for step in range(400) for _, view in pairs(step)]
    counts = [views.count(number) for number in range(4)]
    assert sum(counts) == 1200
    assert max(counts) - min(counts) < 100


def test_step_seeds_differ_between_steps_and_processes() -> None:
    seeds = {step_seed(0, step, rank) for step in range(50) for rank in range(3)}
    assert len(seeds) == 150


def test_rate_rises_then_falls_to_a_hundredth() -> None:
    plan = plan_of({"updates": 100, "learning_rate": 1.0})
    rates = [learning_rate(plan, step) for step in range(100)]
    assert rates[0] == 0.2
    assert rates[4] == 1.0
    assert max(rates) == 1.0
    assert rates[5:] == sorted(rates[5:], reverse=True)
    assert 0.0100 < rates[-1] < 0.0105
