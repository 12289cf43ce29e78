"""From the word of `--recipe` to a method and its numbers; what is taken, and what is missing, is said.

auto    the method's own recipe; the number of images decides the updates (`settings.plan_run`), and the masks
        whether views are turned (`settle_views`)
paper   what the method's source says (`methods.seam.recipes.PaperRecipe`), with the method's fields that bring back
        what the default mends; a method whose source says nothing that is known is trained as by auto
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from samtune.methods import METHODS, WithPaperRecipe, make_method
from samtune.progress import say
from samtune.training.settings import has_updates

if TYPE_CHECKING:
    from collections.abc import Callable

    from samtune.data.views.orientation import Orientation
    from samtune.methods import Method, PaperRecipe, Recipe
    from samtune.training.settings import TrainSettings

COMPARABLE = (
    "epochs", "batch_size", "accumulate", "learning_rate", "weight_decay", "schedule", "clip_norm", "loss", "loss_side",
    "ema", "augmentation", "square", "patience",
)  # fmt: skip
"""The numbers of a recipe that a setting of the same name may override."""


@dataclass(frozen=True)
class Chosen:
    """What a run trains, and how.

    Attributes:
        method: with all its fields.
        recipe: its numbers, before the user's own settings.
        kind: "auto" or "paper", as asked.
        square: whether images are squashed.
        notes: what a reader of the result must know, one sentence each.
    """

    method: Method
    recipe: Recipe
    kind: str
    square: bool
    notes: tuple[str, ...] = ()


def choose_recipe(settings: TrainSettings, num_classes: int) -> Chosen:
    """Choose the method's form and its recipe, and say what is not plain.

    Args:
        settings: as given.
        num_classes: K.

    Raises:
        ConfigError: the method or one of its fields is unknown or out of range.
    """
    method = make_method(settings.method, **settings.method_fields)
    recipe, notes = method.recipe, []
    if settings.recipe == "paper":
        kind = METHODS[settings.method]
        if isinstance(kind, WithPaperRecipe):
            published: PaperRecipe = kind.paper_recipe
            recipe = published.recipe
            fields = published.fields_for(num_classes, settings.method_fields)
            method = make_method(settings.method, **fields)
            notes += _tell(settings, published, fields, num_classes)
        else:
            notes.append(
                f"Recipe paper: no source at hand says how {settings.method} was trained, so it is trained as by auto."
            )
    for note in notes:
        say(note)
    square = recipe.square if settings.square is None else settings.square
    return Chosen(method, recipe, settings.recipe, square, tuple(notes))


def settle_views(
    settings: TrainSettings, chosen: Chosen, look: Callable[[], Orientation], *, tell: bool = True
) -> Chosen:
    """Where the views are left to the masks, look at these, and say what was chosen.

    Args:
        settings: as given.
        chosen: of `choose_recipe`.
        look: finds the orientation of the run's annotated images, those for validation too.
        tell: say it.

    Returns:
        The choice, its recipe with a word for the views in the place of auto.
    """
    asked = settings.augmentation or chosen.recipe.augmentation
    if asked != "auto" or not has_updates(settings, chosen.recipe) or settings.views == 0:
        return chosen
    found = look()
    if found.upright:
        note = (
            f"The masks tell up from down (by chance once in {1 / found.chance:,.0f}), so views are mirrored "
            "left-right alone; augmentation=varied turns, cuts and relights them too."
        )
    else:
        note = (
            "The masks do not tell up from down, so views are mirrored, turned, cut out and lit anew; if the scenes "
            "stand upright nevertheless, augmentation=flip."
        )
    if tell:
        say(note)
    recipe = replace(chosen.recipe, augmentation="flip" if found.upright else "varied")
    return replace(chosen, recipe=recipe, notes=(*chosen.notes, note))


def _tell(settings: TrainSettings, published: PaperRecipe, fields: dict[str, Any], num_classes: int) -> list[str]:
    """What the recipe sets, what the source leaves open, and what the user set against it."""
    from samtune.losses import ONE_CLASS

    given = settings.method_fields
    own = [f"method.{name}={_word(value)}" for name, value in fields.items() if name not in given]
    notes = [
        f"Recipe paper: {settings.method} is trained by the recipe of its source"
        f"{', with ' + ', '.join(own) if own else ''}; {published.note}"
    ]
    if num_classes > 1 and published.recipe.loss in ONE_CLASS and "head" not in fields and settings.loss == "auto":
        notes.append(f"The published loss {published.recipe.loss} is for one class: several take ce_dice, as by auto.")
    if num_classes > 1 and published.one_class:
        notes.append(f"The published form of {settings.method} is for one class: several are trained in samtune's own.")
    against = [
        f"{name}={_word(ours)} (published: {_word(theirs)})"
        for name, ours, theirs in ((key, getattr(settings, key), getattr(published.recipe, key)) for key in COMPARABLE)
        if ours not in (None, "auto", theirs)
    ]
    if settings.tta not in (None, "none"):
        against.append(f"tta={settings.tta} (published: none)")
    if settings.updates is not None:
        against.append(f"updates={settings.updates} (published: {published.recipe.epochs} epochs)")
    plain = published.fields_for(num_classes, {})
    against += [
        f"method.{name}={_word(given[name])} (published: {_word(plain[name])})"
        for name in plain
        if name in given and given[name] != plain[name]
    ]
    if against:
        notes.append(f"Set by you against the published recipe: {', '.join(against)}.")
    return notes


def _word(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
