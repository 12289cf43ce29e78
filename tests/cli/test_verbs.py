"""Each verb once through the command line, on a tiny base."""

from __future__ import annotations

import math
import shutil
import signal
from html import unescape
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from samtune.cli.demo_verb import MARK
from samtune.cli.options import data_values, method_settings
from samtune.config import SETTINGS
from samtune.data import read_image
from samtune.errors import ConfigError
from samtune.outputs import OutputFolder
from samtune.training.trainer import Trainer
from tests.cli.conftest import Answer, Run

QUICK = ("--updates", 8, "--set", "views=1", "--device", "cpu", "--json")


def train(run: Run, data: Path, base: Path, out: Path, *more: object) -> Answer:
    return run("train", data / "images", data / "masks", "--base", base, "--out", out, *QUICK, *more)


def test_a_dry_run_tells_and_writes_nothing(run: Run, data: Path, base: Path, tmp_path: Path) -> None:
    words = ("train", data / "images", data / "masks", "--base", base, "--dry-run", *QUICK[:-1])
    answer = run(*words, "--json")
    assert answer.code == 0, answer.err
    assert not any(tmp_path.iterdir())
    found = answer.json
    assert (found["num_train"], found["plan"]["updates"], found["fits"]) == (6, 8, True)
    assert found["memory"]["peak_bytes"] < found["memory"]["limit_bytes"]
    text = run(*words).out
    assert "8 updates of 4 images, each at once" in text
    assert text.endswith("It fits.\n")
    assert "leave one of them out" in run(*words, "--resume").err
    assert "Expected --out with the run folder" in run(*words[:5]).err


def test_train_predict_evaluate_and_the_page(run: Run, data: Path, samples: Path, base: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    trained = train(run, data, base, out, "--set", "method.num_tokens=4")
    assert trained.code == 0, trained.err
    assert {"run", "method", "trainable", "steps", "seconds", "validation"} <= set(trained.json)
    assert trained.json["trainable"] == 4 * 16
    assert trained.json["steps"] == 8
    assert "num_tokens" in (out / "config.toml").read_text()
    assert "Scored on one view of each image; predictions of this specialist average over" in (
        " ".join((out / "report.html").read_text().split())
    )

    masks = tmp_path / "masks"
    predicted = run("predict", out, samples / "images", "--out", masks, "--overlay", "--json")
    assert predicted.code == 0, predicted.err
    assert predicted.json["num_images"] == 5
    assert predicted.json["tta"] == "d4"
    assert "8 times as long (the setting of this specialist; --tta none turns it off)" in predicted.err
    assert predicted.json["values"] == {"background": 0, "foreground": 255}
    assert set(np.unique(read_image(masks / "cells_000.png"))) <= {0, 255}

    page = (out / "report.html").read_text()
    scored = run("evaluate", out, samples / "images", samples / "masks", "--json", "--per-image", masks / "a.csv")
    assert scored.code == 0, scored.err
    assert list(scored.json["rows"]) == ["specialist", "stock_sam", "probe"]
    assert scored.json["num_images"] == 5
    assert not any("WARNING" in note for note in scored.json["notes"])
    assert len((masks / "a.csv").read_text().splitlines()) == 6
    assert (out / "report.html").read_text() != page
    page = unescape((out / "report.html").read_text())
    assert scored.json["verdict"][0].startswith("Tuning ")
    assert all(sentence in page for sentence in scored.json["verdict"])
    told = run("evaluate", out, samples / "images", samples / "masks", "--no-report")
    assert told.out.startswith("\n".join(scored.json["verdict"]))

    flattered = run("evaluate", out, data / "images", data / "masks", "--no-report")
    assert "8 of these 8 images" in flattered.err
    assert "iou_per_image" in flattered.out
    assert "the images' own size" in flattered.out
    told = run("evaluate", out, samples / "images", samples / "masks", "--protocol", "cod", "--at", 64, "--no-report")
    assert "protocol cod, compared squashed to 64 x 64" in told.out
    assert "beta^2 = 0.3, as published by the reference code" in told.out
    nothing = run("evaluate", out, data / "images", data / "masks", "--unseen")
    assert (nothing.code, nothing.out) == (2, "")

    known = run("info", out, "--json")
    assert known.json["method"] == "ptsam"
    assert known.json["num_images"] == 6
    again = train(run, data, base, out)
    assert again.code == 2
    assert "--resume" in again.err
    resumed = run("train", "--out", out, "--resume", "--json")
    assert resumed.code == 0, resumed.err
    assert "nothing to resume" in resumed.err


def test_settings_from_a_file(run: Run, data: Path, base: Path, tmp_path: Path) -> None:
    file = tmp_path / "run.toml"
    file.write_text(f'images = "{data / "images"}"\nmasks = "{data / "masks"}"\nupdates = 3\nviews = 0\nshots = 4\n')
    words = (
        "train",
        "--config",
        file,
        "--base",
        base,
        "--updates",
        2,
        "--device",
        "cpu",
        "--no-report",
        "--json",
    )
    answer = run(*words, "--out", tmp_path / "run")
    assert answer.code == 0, answer.err
    assert (answer.json["steps"], answer.json["num_train"], answer.json["num_val"]) == (2, 3, 1)
    assert not (tmp_path / "run" / "report.html").exists()
    file.write_text("upadtes = 3\n")
    wrong = run(*words, "--out", tmp_path / "other")
    assert wrong.code == 2
    assert "did you mean 'updates'" in wrong.err


def test_a_recipe_is_recorded_and_a_wrong_one_refused(run: Run, data: Path, base: Path, tmp_path: Path) -> None:
    words = ("--method", "decoder_only", "--recipe", "paper", "--set", "learning_rate=1e-3", "--no-report")
    answer = train(run, data, base, tmp_path / "run", *words)
    assert answer.code == 0, answer.err
    assert "Recipe paper: decoder_only is trained by the recipe of its source" in answer.err
    assert "learning_rate=0.001 (published: 0.0001)" in answer.err
    assert any(note.startswith("Recipe paper") for note in answer.json["notes"])
    assert 'recipe = "paper"' in (tmp_path / "run" / "config.toml").read_text()
    known = run("info", tmp_path / "run", "--json").json
    assert (known["recipe"], known["square"]) == ("paper", True)
    wrong = train(run, data, base, tmp_path / "other", "--recipe", "papr")
    assert wrong.code == 2
    assert "Expected `recipe` to be one of auto, paper, got 'papr'" in wrong.err
    assert not (tmp_path / "other").exists()


def test_an_interrupted_run_exits_with_130_and_goes_on(
    run: Run, data: Path, base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluate = Trainer.evaluate

    def stop(self: Trainer) -> None:
        signal.raise_signal(signal.SIGINT)
        evaluate(self)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "evaluate", stop)
        answer = train(run, data, base, tmp_path / "run")
    assert (answer.code, answer.json["stopped"]) == (130, "interrupted")
    assert not (tmp_path / "run" / "report.html").exists()
    resumed = run("train", "--out", tmp_path / "run", "--resume", "--json")
    assert (resumed.code, resumed.json["steps"]) == (0, 8)


def test_a_run_that_could_not_start_leaves_no_folder(run: Run, data: Path, tmp_path: Path) -> None:
    for more in (
        ("--base", "no-such-base"),
        ("--method", "lroa"),
        ("--set", "method.rnak=4"),
        ("--shots", 99),
    ):
        answer = run("train", data / "images", data / "masks", "--out", tmp_path / "run", *more)
        assert answer.code == 2, answer.err
        assert answer.err.rstrip().splitlines()[-1].startswith("samtune: ")
        assert not (tmp_path / "run").exists()


def test_validation_images_of_their_own(run: Run, data: Path, samples: Path, base: Path, tmp_path: Path) -> None:
    more = ("--val-images", samples / "images", "--val-masks", samples / "masks")
    answer = train(run, data, base, tmp_path / "run", *more)
    assert answer.code == 0, answer.err
    assert (answer.json["num_train"], answer.json["num_val"]) == (8, 5)
    assert "the 5 images" in (tmp_path / "run" / "report.html").read_text()


def test_other_processes_stay_silent(
    run: Run, specialist: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RANK", "1")
    assert run("info", specialist, "--json") == Answer(0, "", "")
    assert run("info", tmp_path) == Answer(2, "", "")


def test_methods(run: Run) -> None:
    answer = run("methods", "--base", "facebook/sam-vit-base", "--json")
    rows = {row["name"]: row for row in answer.json["methods"]}
    assert rows["ptsam"]["trainable"] == 2048
    assert rows["ptsam"]["touches_encoder"] is False
    assert rows["ptsam"]["encoder_trainable"] == 0
    assert rows["lora"]["touches_encoder"] is True
    assert set(rows["lora"]) == {
        "name", "source", "trainable", "encoder_trainable", "total", "adapted_total", "share", "touches_encoder",
        "variants",
    }  # fmt: skip
    assert rows["lora"]["variants"] == []
    assert rows["ts_sam"]["variants"] == [
        {
            "fields": {"frequency": True}, "what": "as published for shadows", "trainable": 11_892_865 + 196_864,
            "encoder_trainable": 10_121_472 + 196_864,
        }
    ]  # fmt: skip
    assert rows["lora"]["share"] == pytest.approx(rows["lora"]["trainable"] / rows["lora"]["adapted_total"])


def test_doctor(run: Run, samples: Path, tmp_path: Path) -> None:
    assert run("doctor", samples, "--json").json["num_pairs"] == 5
    for folder in ("images", "masks"):
        shutil.copytree(samples / folder, tmp_path / folder)
    (tmp_path / "masks" / "cells_001.png").write_bytes(b"broken")
    bad = run("doctor", tmp_path / "images", tmp_path / "masks", "--json")
    assert bad.code == 2
    assert set(bad.json["problems"][0]) >= {"kind", "file", "what", "mend"}
    text = run("doctor", tmp_path / "images", tmp_path / "masks")
    assert "stops training" in text.out
    mended = run("doctor", tmp_path / "images", tmp_path / "masks", "--fix", tmp_path / "new", "--json")
    assert (mended.code, mended.json["mended"]["num_pairs"]) == (0, 4)
    assert run("doctor", tmp_path / "new").code == 0


def test_averaging_over_flips_and_turns(run: Run, specialist: Path, samples: Path, tmp_path: Path) -> None:
    for name, flags in (("plain", []), ("averaged", ["--tta", "d4"])):
        answer = run(
            "predict", specialist, samples / "images", "--out", tmp_path / name, "--probabilities", "--json", *flags
        )
        assert answer.code == 0, answer.err
    plain, averaged = (read_image(tmp_path / name / "cells_000_prob.png") for name in ("plain", "averaged"))
    assert plain.shape == averaged.shape
    assert (plain != averaged).any()
    scored = run("evaluate", specialist, samples / "images", samples / "masks", "--tta", "d4", "--json")
    assert scored.code == 0, scored.err
    assert scored.json["tta"] == "d4"
    assert any("eight flips" in note for note in scored.json["notes"])
    assert run("predict", specialist, samples / "images", "--out", tmp_path / "x", "--tta", "all").code == 2


def test_unreadable_inputs_give_code_2_and_stop_nothing(
    run: Run, specialist: Path, samples: Path, tmp_path: Path
) -> None:
    (tmp_path / "x.png").write_bytes(b"no image")
    answer = run("predict", specialist, samples / "images", tmp_path / "x.png", "--out", tmp_path / "o", "--json")
    assert answer.code == 2
    assert answer.json["num_images"] == 5
    assert "x.png" in answer.json["skipped"][0]["file"]
    assert "not read" in answer.err


def test_set_words() -> None:
    words = ["method.rank=4", "views=0", 'method.roles=["qkv"]', "loss=dice", "learning_rate=1e-3"]
    assert method_settings(words, "lora", SETTINGS) == (
        {"views": 0, "loss": "dice", "learning_rate": 1e-3},
        {"rank": 4, "roles": ["qkv"]},
    )
    for word in ("rank", "=3", "model.rank=3"):
        with pytest.raises(ConfigError, match="for --set"):
            method_settings([word], "lora", SETTINGS)


def test_mask_words() -> None:
    assert data_values("3", None, None, None) == {"num_classes": 3}
    assert data_values("a, b", ["a=#ff0000,b=#00FF00"], "255", True) == {
        "class_names": ("a", "b"),
        "colours": {"a": (255, 0, 0), "b": (0, 255, 0)},
        "ignore_label": 255,
        "instances": True,
    }
    assert data_values(None, None, "-1", None, ids="10, 20,255", background="0,2", threshold=0.5) == {
        "ignore_label": -1,
        "ids": (10, 20, 255),
        "background": (0, 2),
        "threshold": 0.5,
    }
    assert math.isnan(data_values(None, None, "NaN", None)["ignore_label"])
    assert data_values("²", None, None, None) == {"class_names": ("²",)}
    wrong: list[dict[str, Any]] = [{"ids": "1,,2"}, {"ids": "a"}, {"background": "0.5"}, {"ids": "9" * 5000}]
    for option in wrong:
        with pytest.raises(ConfigError, match="Expected whole numbers"):
            data_values(None, None, None, None, **option)
    for classes, ignore in (("9" * 5000, None), (None, "white")):
        with pytest.raises(ConfigError, match="Expected whole numbers"):
            data_values(classes, None, ignore, None)
    with pytest.raises(ConfigError, match="each name once"):
        data_values(None, ["a=#ff0000", "a=#00ff00"], None, None)
    for word in ("a", "a=red", "=#ff0000", "a=#ff00"):
        with pytest.raises(ConfigError, match="for --colour"):
            data_values(None, [word], None, None)


def test_demo(run: Run, base: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("keep")
    refused = run("demo", "--out", tmp_path / "mine", "--base", base)
    assert (refused.code, (tmp_path / "mine" / "thesis.txt").read_text()) == (2, "keep")
    stale = tmp_path / "demo" / "predictions" / "stale.png"
    stale.parent.mkdir(parents=True)
    stale.touch()
    OutputFolder(tmp_path / "demo", "demo").write_text(MARK, "")
    refused = run("demo", "--out", tmp_path / "demo", "--base", base)
    assert (refused.code, "such as predictions/stale.png" in refused.err) == (2, True)
    assert stale.is_file()
    stale.unlink()
    answer = run("demo", "--out", tmp_path / "demo", "--base", base, "--json")
    assert answer.code == 0, answer.err
    assert set(answer.json["evaluation"]["rows"]) == {"specialist", "stock_sam", "probe"}
    assert Path(answer.json["report"]).is_file()
    assert len(list((tmp_path / "demo" / "predictions").glob("*.png"))) == 24


def test_the_public_data_sets_are_listed(run: Run) -> None:
    listed = {row["name"]: row for row in run("data", "list", "--json").json["datasets"]}
    assert listed["cod10k"]["parts"][0] == {
        "part": "train",
        "images": 3040,
        "image_folder": "Train/Image",
        "mask_folder": "Train/GT_Object",
    }
    assert listed["livecell"]["licence"] == "CC BY-NC 4.0"
    text = run("data", "list").out
    assert all(name in text for name in listed)
    assert "not stated" in text
