"""What fields of `ptsam` beyond its paper are worth, and faults of public code: the same draws with and without.

    python benchmarks/beyond.py DATA [--sets a,b] [--variants ensemble=5,tta,...] [--seeds 0,1,2]
    python benchmarks/beyond.py DATA --table

DATA holds one folder per set with `images/` and `masks/`. Only the five sets of `results_nano.py` count for "helps
on", whatever others are asked for. A cell (set, seed, variant) that is in `results/beyond.json`
for the same base is not run again; what it is compared with is measured along with it. See README.md for how quality
is measured.
"""

from __future__ import annotations

import json
import statistics
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from results_nano import SETS, Frozen, iou, over_seeds, parsed, parser, predicted_by, read, tell
from sets import SHOTS, scored_part

from samtune.adapters import load_specialist
from samtune.averaging import ProbabilityMean
from samtune.bases import load_base
from samtune.bases.sam1.model import Sam1
from samtune.data import to_input
from samtune.data.views.symmetries import SYMMETRIES, apply_symmetry, undo_symmetry
from samtune.methods import touches_encoder
from samtune.segment import to_original
from samtune.tasks.areas import decide
from samtune.training import TrainSettings, train

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import numpy as np

    from samtune.types import Averaging, Features, Geometry

RESULTS = Path(__file__).parent / "results" / "beyond.json"


@dataclass(frozen=True)
class Variant:
    """One row.

    Attributes:
        fields: of the method.
        tta: over which flips and turns of an image its masks are averaged.
        settings: of the training.
        method: its name.
        against: the row it is compared with.
    """

    fields: dict[str, Any] = field(default_factory=dict)
    tta: Averaging = "none"
    settings: dict[str, Any] = field(default_factory=dict)
    method: str = "ptsam"
    against: str = "plain"

    @property
    def run(self) -> str:
        """What is trained; variants with the same run share it."""
        return json.dumps([self.method, self.fields, self.settings], sort_keys=True)


VARIANTS = {
    "plain": Variant(),
    "tta": Variant(tta="d4"),
    "tta=mirror": Variant(tta="mirror"),
    "init=points": Variant({"init": "points"}),
    "init=sam_scale": Variant({"init": "sam_scale"}),
    "init=uniform": Variant({"init": "uniform"}),
    "init=normal": Variant({"init": "normal"}),
    "ensemble=5": Variant({"ensemble": 5}),
    "loss_side=logits": Variant(settings={"loss_side": "logits"}),
    "ptsam_encoder": Variant(method="ptsam_encoder"),
    "gated": Variant({"gated": True}, method="ptsam_encoder", against="ptsam_encoder"),
    "lora": Variant(method="lora", against="lora"),
    "lora structure": Variant(settings={"loss": "structure"}, method="lora", against="lora"),
    "lora structure_published": Variant(
        settings={"loss": "structure_published"}, method="lora", against="lora structure"
    ),
    "conv_lora": Variant(method="conv_lora", against="lora"),
    "conv_lora paper": Variant({"paper": True}, method="conv_lora", against="conv_lora"),
    "sam_adapter": Variant(method="sam_adapter", against="sam_adapter"),
    "sam_adapter paper": Variant({"paper": True}, method="sam_adapter", against="sam_adapter"),
}
"""Rows by name. From "ptsam_encoder" on they train in the encoder and take many
times longer; the last seven tell what faults of public code are worth, which `paper` and a loss bring back."""


class Turned:
    """The frozen features of a set's images in their eight symmetries, each computed when it is first asked for."""

    def __init__(self, frozen: Frozen) -> None:
        self.frozen = frozen
        self._features: dict[tuple[int, int], tuple[Features, Geometry]] = {}

    def decoded(self, indices: Iterable[int], base: Sam1, averaging: Averaging) -> Iterator[tuple[int, np.ndarray]]:
        """Label maps from the average over symmetries, as `predict --tta` has it."""
        for index in indices:
            mean = ProbabilityMean()
            for symmetry in SYMMETRIES[averaging]:
                features, geometry = self._at(index, symmetry)
                with torch.inference_mode():
                    mean.add(undo_symmetry(to_original(base.decode(features)[0], geometry), symmetry))
            yield index, decide(mean.logits()).numpy()

    def _at(self, index: int, symmetry: int) -> tuple[Features, Geometry]:
        if symmetry == 0:
            return self.frozen.features[index]
        if (index, symmetry) not in self._features:
            base = self.frozen.base
            pixels, geometry = to_input(apply_symmetry(self.frozen.dataset.image(index), symmetry), base.spec)
            with torch.inference_mode():
                self._features[index, symmetry] = (base.encode(pixels[None]), geometry)
        return self._features[index, symmetry]


def measure(
    frozen: Frozen, turned_features: Turned, names: Iterable[str], seed: int, changes: dict[str, Any]
) -> dict[str, dict[str, float]]:
    """Train once what some variants share, on one draw of 16 images, and score each on all other images."""
    names = list(names)
    variant, dataset = VARIANTS[names[0]], frozen.dataset
    assert {VARIANTS[name].run for name in names} == {variant.run}
    scored = scored_part(dataset, seed)
    settings = TrainSettings(
        base="nano", method=variant.method, method_fields=variant.fields, shots=SHOTS, seed=seed, device="cpu",
        **(changes | variant.settings),
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        result = train(settings, dataset, Path(folder) / "run")
        model, _ = load_specialist(Path(folder) / "run")
        adapter = Path(folder) / "run" / "specialist" / "adapter_model.safetensors"
        told = {"trained": result.trainable, "adapter_bytes": adapter.stat().st_size}
    told |= {"seconds": result.seconds["total"], "validation": result.validation["iou_per_image"]}
    cells = {}
    for name in names:
        averaging = VARIANTS[name].tta
        if averaging != "none":
            assert not touches_encoder(model)
            predicted = turned_features.decoded(scored, model, averaging)
        else:
            predicted = predicted_by(model, frozen, scored)
        cells[name] = {"iou": iou(dataset, predicted)} | told
    return cells


def with_references(names: Iterable[str]) -> list[str]:
    """The names, each after what it is compared with, in the table's order."""
    wanted = set()
    for name in names:
        wanted |= {name, VARIANTS[name].against}
    return [name for name in VARIANTS if name in wanted]


def table(base: str) -> str:
    """Paired differences as a Markdown table: mean and spread over seeds, and on how many sets the mean is above zero.

    Args:
        base: digest of the base's weights.
    """
    values: dict[tuple[str, str], dict[str, float]] = {}
    for key, cell in read(RESULTS).items():
        sha, place, name, seed = key.split("/")
        if base.startswith(sha):
            values.setdefault((name, place), {})[seed] = cell["iou"]
    places = list(dict.fromkeys([*SETS, *sorted(place for _, place in values)]))
    places = [place for place in places if any(place == other for _, other in values)]
    lines = [f"| field | compared with | {' | '.join(places)} | helps on |", "|---" * (len(places) + 3) + "|"]
    for name, variant in VARIANTS.items():
        if name == variant.against:
            continue
        shown, means = [], []
        for place in places:
            own, reference = values.get((name, place), {}), values.get((variant.against, place), {})
            gains = [own[seed] - reference[seed] for seed in sorted(set(own) & set(reference))]
            if gains and place in SETS:
                means.append(statistics.mean(gains))
            shown.append(over_seeds(gains, sign="+"))
        if means:
            helped = f"{sum(mean > 0 for mean in means)} of {len(means)}"
            lines.append(f"| {name} | {variant.against} | {' | '.join(shown)} | {helped} |")
    return "\n".join(lines)


def main() -> None:
    """Measure what is missing, or write the table."""
    options = parser(__doc__)
    options.add_argument(
        "--variants",
        type=lambda words: words.split(","),
        default=[name for name, variant in VARIANTS.items() if variant.method == "ptsam"],
        metavar="A,B",
        help=f"rows of: {', '.join(VARIANTS)}. Default: all but the encoder's.",
    )
    given = parsed(options)
    torch.set_num_threads(given.threads)
    base = load_base("nano")
    if given.table:
        print(table(base.sha256))
        return
    unknown = [name for name in given.variants if name not in VARIANTS]
    if unknown:
        options.error(f"--variants must be of {', '.join(VARIANTS)}, but {unknown[0]!r} came.")
    digest, wanted = base.sha256[:12], with_references(given.variants)
    for place in given.sets:
        frozen, turned_features = None, None
        for seed in given.seeds:
            there = {} if given.dry else read(RESULTS)
            missing = [name for name in wanted if f"{digest}/{place}/{name}/{seed}" not in there]
            for run in dict.fromkeys(VARIANTS[name].run for name in missing):
                if frozen is None or turned_features is None:
                    frozen = Frozen(place, given.data, base)
                    turned_features = Turned(frozen)
                names = [name for name in missing if VARIANTS[name].run == run]
                for name, cell in measure(frozen, turned_features, names, seed, given.changes).items():
                    tell(f"{digest}/{place}/{name}/{seed}", cell, given, RESULTS)


if __name__ == "__main__":
    main()
