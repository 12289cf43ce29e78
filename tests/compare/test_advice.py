"""The words follow the numbers: which row to keep, where tuning helps, whether to label more."""

from __future__ import annotations

import pytest

from samtune.compare import Cell, Results, advise
from samtune.compare.groups import ImageGroup
from samtune.pages.comparison import against_best
from tests.compare.made import FLOORS, STEMS, made


def test_the_best_is_kept_and_the_others_are_placed() -> None:
    advice = advise(made(FLOORS | {"small": 0.6, "large": 0.5}), (), ())
    assert (advice.keep, advice.best) == ("small", "small")
    first = advice.summary[0]
    assert first.startswith("Keep small. With 16 labelled images it reaches an IoU of 0.600 per image")
    assert "mean of 3 draws" in first
    text = " ".join(advice.summary)
    assert "Worse than small: large (by 0.100)." in text
    assert "Tuning paid: small reaches an IoU of 0.600 per image, against 0.200 for stock SAM" in text
    assert "on 30 images; the difference is +0.400 (95 %: " in text
    assert "It is above the probe (0.300), blurred colour (0.250) and the U-Net from scratch (0.350)." in text
    assert against_best(advice, "large").endswith("worse")
    assert against_best(advice, "small") == "best"


def test_as_good_with_fewer_numbers_is_kept() -> None:
    advice = advise(made(FLOORS | {"large": 0.61, "small": 0.605}), (), ())
    assert (advice.best, advice.keep) == ("large", "small")
    assert "instead of 4,000,000" in advice.summary[0]
    assert "not distinguishable" in advice.summary[0]
    apart = advise(made(FLOORS | {"large": 0.66, "small": 0.605}), (), ())
    assert apart.keep == "large"


def test_what_cannot_be_told_apart_is_not_called_equal_or_better() -> None:
    advice = advise(made(FLOORS | {"large": 0.6, "small": 0.57}, noise=0.1), (), ())
    assert advice.keep == "large"  # further than what is close, so it is kept although the two cannot be told apart
    text = " ".join(advice.summary)
    assert "Not distinguishable from large on these images and draws: small." in text
    assert "Worse than large" not in text


@pytest.mark.parametrize(
    ("stock", "words"), [(0.7, "Tuning did not pay: small"), (0.6, "Tuning changed nothing: small")]
)
def test_stock_sam_that_is_not_beaten_is_said(stock: float, words: str) -> None:
    advice = advise(made(FLOORS | {"stock_sam": stock, "small": 0.6}), (), ())
    assert any(sentence.startswith(words) for sentence in advice.summary)


def test_a_gain_within_the_noise_is_not_called_one() -> None:
    advice = advise(made(FLOORS | {"stock_sam": 0.58, "small": 0.6}, noise=0.1), (), ())
    assert any(sentence.startswith("Tuning may or may not have paid: small") for sentence in advice.summary)


def test_floors_that_are_not_beaten_are_said() -> None:
    advice = advise(made(FLOORS | {"unet": 0.7, "blurred_colour": 0.6, "small": 0.6}), (), ())
    text = " ".join(advice.summary)
    assert "The U-Net from scratch (0.700) is" in text
    assert "is better; small differs from it by −0.100" in text
    assert "SAM's weights are no help here" in text
    assert "there is no evidence that a network is needed" in text
    probe = advise(made(FLOORS | {"probe": 0.7, "small": 0.6}), (), ())
    assert probe.keep == "probe"  # it is a method of samtune, and may be the one to keep


def test_one_draw_and_few_images_are_owned_up_to() -> None:
    advice = advise(made(FLOORS | {"small": 0.6}, seeds=1), (), ())
    assert any("only one draw of labelled images" in sentence for sentence in advice.summary)
    assert "(mean of 1 draw of labelled images)" in advice.summary[0]


def test_groups_are_judged_one_by_one() -> None:
    results = made(FLOORS | {"small": 0.6, "stock_sam": 0.2})
    stock = results.records[Cell("stock_sam", 0, 0)]
    for stem in STEMS[:10]:
        stock["per_image"][stem] = 0.95
    groups = (ImageGroup("easy ones", tuple(range(10))), ImageGroup("hard ones", tuple(range(10, 30))))
    advice = advise(results, groups, ("The data names no groups of images.",))
    assert advice.group_sentences == (
        "Tuning paid on hard ones.",
        "Tuning did not pay on easy ones.",
        "The data names no groups of images.",
    )
    assert [row.difference.verdict for row in advice.groups] == ["worse", "better"]
    assert advice.groups[0].stock == pytest.approx(0.95)


def test_a_rising_curve_pays_and_a_flat_one_does_not() -> None:
    rising = advise(made(FLOORS | {"small": 0.6}, shots=(4, 8, 16), slope=0.06), (), ())
    assert rising.curve_sentences[0].startswith("Labelling more is likely to pay: from 16 to 32 labelled images")
    assert rising.forecast is not None
    assert 0.02 < rising.forecast.gain < 0.1
    flat = advise(made(FLOORS | {"small": 0.6}, shots=(4, 8, 16), slope=0.0, noise=0.003), (), ())
    assert flat.curve_sentences[0].startswith("Labelling more is unlikely to pay")
    loud = advise(made(FLOORS | {"small": 0.6}, shots=(4, 8, 16), slope=0.02, noise=0.1), (), ())
    assert loud.curve_sentences[0].startswith("Whether labelling more pays is not clear from these cells")


def test_too_few_points_say_what_to_run() -> None:
    two = advise(made(FLOORS | {"small": 0.6}, shots=(8, 16), slope=0.1), (), ())
    assert two.forecast is None
    assert two.curve_sentences[0].startswith("Going from 8 to 16 images helped: +0.")
    assert "--shots 4,8,16 --seeds 3" in two.curve_sentences[1]
    one = advise(made(FLOORS | {"small": 0.6}, shots=(4, 8, 16), seeds=1, slope=0.1), (), ())
    assert one.forecast is None
    assert "is not clear" in one.curve_sentences[-1]


def test_without_any_method_there_is_no_advice() -> None:
    results = made({"stock_sam": 0.2, "small": 0.5})
    empty = Results(results.task, results.cells, {}, STEMS)
    advice = advise(empty, (), ())
    assert (advice.keep, advice.best) == (None, None)
    assert "there is no advice" in advice.summary[0]


def test_images_that_got_worse_are_named_worst_first() -> None:
    results = made(FLOORS | {"small": 0.6}, noise=0.0)
    told = advise(results, (), ())
    assert told.regressions == ()
    assert "small is worse than stock SAM or the probe on none of the test images." in told.regression_sentence
    for cell, record_ in results.records.items():
        if cell.row == "small":  # worse in one draw out of three, but so much that the mean is
            record_["per_image"] |= {"image_03": 0.0} if cell.seed == 0 else {}
            record_["per_image"] |= {STEMS[place]: 0.05 + 0.001 * place for place in range(10, 22)}
        if cell.row == "probe":
            record_["per_image"]["image_03"] = 0.9
        if cell.row == "stock_sam":
            record_["per_image"]["image_10"] = 1.0
    told = advise(results, (), ())
    assert "on 13 of 30 test images (means over draws); the 10 worst:" in told.regression_sentence
    losses = [one.loss for one in told.regressions]
    assert losses == sorted(losses, reverse=True)
    assert len({one.name for one in told.regressions}) == len(losses) == 10
    first = told.regressions[0]
    assert (first.name, first.baseline, first.value) == ("image_10", "stock_sam", 1.0)
    assert first.specialist == pytest.approx(0.06)
    third = next(one for one in told.regressions if one.name == "image_03")
    assert third.baseline == "probe"
    assert third.value == pytest.approx(0.9)
    assert third.specialist == pytest.approx(2 / 3 * results.records[Cell("small", 16, 1)]["per_image"]["image_03"])


def test_without_baselines_nothing_is_said_of_images_that_got_worse() -> None:
    told = advise(made({"small": 0.6, "large": 0.5}), (), ())
    assert (told.regressions, told.regression_sentence) == ((), "")
    probe = advise(made({"stock_sam": 0.2, "probe": 0.6}), (), ())
    assert probe.keep == "probe"
    assert "than stock SAM on none" in probe.regression_sentence
