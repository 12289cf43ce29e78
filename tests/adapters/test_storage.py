"""The specialist on disk: bit-equal round trip, and every mismatch refused with both sides named."""

from __future__ import annotations

import ast
import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

import samtune
from samtune.adapters import card_of, load_specialist, read_card, save, saving_to
from samtune.data import MaskValues
from samtune.errors import MethodError, OutputError, WeightsError
from samtune.methods import adapt, delta, make_method
from samtune.outputs import LIST_FILE
from samtune.types import Averaging
from tests.tiny import tiny_sam

TENSORS, CONFIG = "adapter_model.safetensors", "adapter_config.json"
KEY = "mask_decoder.prompts.tokens"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    model = adapt(tiny_sam(), make_method("ptsam"), num_classes=2, seed=3)
    save(model, tmp_path / "specialist", card_of(model, ("cell", "debris")))
    return tmp_path / "specialist"


def edit_config(folder: Path, **values: Any) -> None:
    file = folder / CONFIG
    file.write_text(json.dumps(json.loads(file.read_text()) | values))


def edit_tensors(folder: Path, change: Callable[[dict[str, Tensor]], dict[str, Tensor]]) -> None:
    save_file(change(load_file(folder / TENSORS)), folder / TENSORS)
    edit_config(folder, adapter_sha256=hashlib.sha256((folder / TENSORS).read_bytes()).hexdigest())


@pytest.mark.parametrize("path", ["run", "specialist"])
def test_round_trip_is_bit_equal(folder: Path, path: str) -> None:
    model = adapt(tiny_sam(), make_method("ptsam"), num_classes=2, seed=3)
    found, card = load_specialist(folder if path == "specialist" else folder.parent, tiny_sam())
    expected, got = delta(model), delta(found)
    assert list(expected) == [KEY] == list(got)
    assert torch.equal(expected[KEY], got[KEY])
    assert not any(parameter.requires_grad for parameter in found.parameters())
    assert not found.training
    assert card == read_card(folder)
    assert card.class_names == ("cell", "debris")
    assert card.samtune_version == samtune.__version__
    assert (folder / "README.md").read_text().startswith("---\n")
    assert sorted(file.name for file in folder.iterdir()) == sorted([TENSORS, CONFIG, "README.md", LIST_FILE])


def refused(folder: Path, *told: str, **base: Any) -> None:
    with pytest.raises(WeightsError) as caught:
        load_specialist(folder, tiny_sam(**base))
    for words in told:
        assert words in str(caught.value), str(caught.value)


def test_a_damaged_file_is_refused(folder: Path) -> None:
    content = bytearray((folder / TENSORS).read_bytes())
    expected = hashlib.sha256(content).hexdigest()[:16]
    content[-1] ^= 1
    (folder / TENSORS).write_bytes(content)
    refused(folder, expected, hashlib.sha256(content).hexdigest()[:16])


def test_a_file_that_is_no_safetensors_is_refused(folder: Path) -> None:
    (folder / TENSORS).write_bytes(b"nothing")
    edit_config(folder, adapter_sha256=hashlib.sha256(b"nothing").hexdigest())
    refused(folder, "not a readable safetensors file")


def test_another_base_is_refused(folder: Path) -> None:
    refused(folder, tiny_sam().sha256[:16], tiny_sam(seed=1).sha256[:16], seed=1)


def test_another_image_size_is_refused(folder: Path) -> None:
    refused(folder, "96 pixels", "loaded at 64", side=64)


def test_a_missing_tensor_is_refused(folder: Path) -> None:
    edit_tensors(folder, lambda tensors: {})
    refused(folder, "exactly the 1 tensors", "got 0", f"missing ['{KEY}']")


def test_an_extra_tensor_is_refused(folder: Path) -> None:
    edit_tensors(folder, lambda tensors: tensors | {"stranger": torch.zeros(1)})
    refused(folder, "exactly the 1 tensors", "got 2", "unknown ['stranger']")


def test_other_classes_are_refused(folder: Path) -> None:
    edit_config(folder, class_names=["cell", "debris", "dust"])
    refused(folder, "(3, 8, 16)", "(2, 8, 16)")


def test_another_format_version_is_refused(folder: Path) -> None:
    edit_config(folder, format_version=2)
    refused(folder, "format version 1", "got 2")


def test_an_unknown_averaging_is_refused(folder: Path) -> None:
    edit_config(folder, tta="all")
    refused(folder, "Expected `tta` to be one of none, mirror, d4, got 'all'")


def test_the_card_for_people_says_over_what_predictions_are_averaged(tmp_path: Path) -> None:
    model = adapt(tiny_sam(), make_method("ptsam"))
    cases: tuple[tuple[Averaging, bool], ...] = (("none", False), ("mirror", True))
    for tta, told in cases:
        save(model, tmp_path, replace(card_of(model, ("cell",)), tta=tta))
        assert ("mean over the image and its left-right mirror" in (tmp_path / "README.md").read_text()) is told


def test_the_card_for_people_cannot_be_forged_by_names(tmp_path: Path) -> None:
    model = adapt(tiny_sam(), make_method("ptsam"))
    card = replace(card_of(model, ("cell\n# Licence",)), base='x"\nlicense: mit')
    save(model, tmp_path, card)
    text = (tmp_path / "README.md").read_text()
    assert 'base_model: "x\\"\\nlicense: mit"\n' in text
    assert "\nlicense: mit" not in text
    assert "\n# Licence" not in text
    assert read_card(tmp_path).base == card.base


def test_an_unknown_key_is_refused(folder: Path) -> None:
    edit_config(folder, colour="red")
    refused(folder, "missing []", "unknown ['colour']")


def test_a_missing_key_is_refused(folder: Path) -> None:
    values = json.loads((folder / CONFIG).read_text())
    del values["threshold"]
    (folder / CONFIG).write_text(json.dumps(values))
    refused(folder, "missing ['threshold']")


def test_a_card_from_before_recipes_and_squashed_images_is_read(folder: Path) -> None:
    values = json.loads((folder / CONFIG).read_text())
    for key in ("recipe", "square"):
        del values[key]
    (folder / CONFIG).write_text(json.dumps(values))
    card = read_card(folder)
    assert (card.recipe, card.square) == ("auto", False)


@pytest.mark.parametrize(
    ("values", "colours", "said"),
    [
        ([0, 255, 255], False, "3 different `mask_values`"),
        ([0, -1, 2], False, "3 different `mask_values`"),
        ([0, 1.5, 2], False, "whole number"),
        ([0, True, 2], False, "whole number"),
        ([0, 2**32, 2], False, "in 0..4294967295"),
        ([0, 2**24, 2], True, "in 0..16777215"),
        ([0, 1, 2], "yes", "`mask_colours` to be true or false"),
        ([0, 1], False, "3 different `mask_values`"),
        ("012", False, "`mask_values` to be a list"),
    ],
)
def test_a_wrong_table_of_mask_values_is_refused(
    folder: Path, values: list[object], colours: object, said: str
) -> None:
    edit_config(folder, mask_values=values, mask_colours=colours)
    refused(folder, said)


def test_a_card_without_mask_values_has_the_default(folder: Path) -> None:
    content = json.loads((folder / CONFIG).read_text())
    assert content.pop("mask_values") == []
    del content["mask_colours"]
    (folder / CONFIG).write_text(json.dumps(content))
    assert read_card(folder).values == MaskValues.default(2)


def test_a_card_from_before_tasks_is_of_areas(folder: Path) -> None:
    content = json.loads((folder / CONFIG).read_text())
    assert (content.pop("task"), content.pop("num_maps")) == ("areas", None)
    (folder / CONFIG).write_text(json.dumps(content))
    _, card = load_specialist(folder, tiny_sam())
    assert (card.task, card.maps) == ("areas", 2)


def test_a_card_with_another_number_of_maps_is_refused(folder: Path) -> None:
    edit_config(folder, num_maps=3)
    with pytest.raises(WeightsError, match="config and tensors do not belong together"):
        load_specialist(folder, tiny_sam())
    edit_config(folder, num_maps=0)
    with pytest.raises(WeightsError, match="num_maps"):
        load_specialist(folder, tiny_sam())


def test_an_unknown_method_is_refused(folder: Path) -> None:
    edit_config(folder, method="ptsm")
    refused(folder, "'ptsm'", "did you mean 'ptsam'")


@pytest.mark.parametrize("name", [TENSORS, CONFIG])
def test_a_missing_file_is_refused(folder: Path, name: str) -> None:
    (folder / name).unlink()
    refused(folder, name)


def test_a_broken_config_is_refused(folder: Path) -> None:
    (folder / CONFIG).write_text("{")
    refused(folder, "is broken")


def test_a_card_needs_one_name_per_class() -> None:
    model = tiny_sam()
    with pytest.raises(MethodError, match="one without a method"):
        card_of(model, ("thing",))
    with pytest.raises(MethodError, match="class names, got"):
        card_of(adapt(model, make_method("ptsam")), ("one", "two"))


def test_nothing_is_pickled() -> None:
    for file in Path(samtune.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            where = f"{file.name}:{getattr(node, 'lineno', 0)}"
            if isinstance(node, ast.Import | ast.ImportFrom):
                names = [alias.name for alias in node.names] + [getattr(node, "module", None) or ""]
                assert not {"pickle", "cPickle", "dill", "joblib", "cloudpickle", "shelve"} & set(names), where
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "torch":
                assert node.attr != "save", where
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "torch.load":
                safe = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
                assert safe.get("weights_only") == "True", where
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ("np.load", "numpy.load"):
                allowed = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
                assert allowed.get("allow_pickle", "False") == "False", where


FOREIGN = ["README.md", TENSORS, CONFIG]


@pytest.mark.parametrize("name", FOREIGN)
def test_a_specialist_never_replaces_a_users_file(folder: Path, tmp_path: Path, name: str) -> None:
    """Such as the README of the user's own project, an adapter of peft, or a card that was edited."""
    model = adapt(tiny_sam(), make_method("ptsam"), num_classes=2, seed=4)
    card = card_of(model, ("cell", "debris"))
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / name).write_text("a user's")
    (folder / name).write_text("edited by a user")
    before = {file.name: file.read_bytes() for file in folder.iterdir()}
    for target in (folder, tmp_path / "new"):
        with pytest.raises(OutputError, match=r"Cannot write 1 file .*overwrite=True"):
            save(model, target, card)
        with pytest.raises(OutputError, match="Cannot write 1 file"):
            saving_to(target)
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == before
    assert [file.read_text() for file in (tmp_path / "new").iterdir()] == ["a user's"]
    save(model, folder, card, overwrite=True)
    save(model, folder, card)
    assert load_specialist(folder, tiny_sam())[1].class_names == ("cell", "debris")
