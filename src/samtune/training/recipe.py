"""Recipe and form of the method that a run trains, by the `recipe` setting.

auto    the method's own recipe
paper   the recipe of the method's source (`PaperRecipe`), with the hyper-parameters of the source's own form; a method
        without one is trained with recipe auto
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from samtune.methods import METHODS, WithPaperRecipe, make_method

if TYPE_CHECKING:
    from samtune.methods import Method, PaperRecipe, Recipe
    from samtune.training.settings import TrainSettings

COMPARABLE = (
    "epochs", "batch_size", "accumulate", "learning_rate", "weight_decay", "schedule", "clip_norm", "loss", "loss_side",
    "ema", "augmentation", "square", "patience",
)  # fmt: skip
"""Fields of a recipe that a setting of the same name overrides."""


def method_of(settings: TrainSettings, num_classes: int) -> Method:
    """Return the method with all its hyper-parameters.

    Args:
        settings: of the run.
        num_classes: K.

    Raises:
        ConfigError: the method or one of its hyper-parameters is unknown or out of range.
    """
    paper = paper_recipe_of(settings)
    given = settings.method_fields
    return make_method(settings.method, **(given if paper is None else paper.fields_for(num_classes, given)))


def recipe_of(settings: TrainSettings) -> Recipe:
    """Return the recipe that fills the settings that are None."""
    paper = paper_recipe_of(settings)
    recipe: Recipe = METHODS[settings.method].recipe if paper is None else paper.recipe
    return recipe


def paper_recipe_of(settings: TrainSettings) -> PaperRecipe | None:
    """Return the recipe of the method's source; None with recipe auto, and where the source's is unknown."""
    method = METHODS.get(settings.method)
    return method.paper_recipe if settings.recipe == "paper" and isinstance(method, WithPaperRecipe) else None


def recipe_notes(settings: TrainSettings, num_classes: int) -> tuple[str, ...]:
    """Return sentences on what `recipe="paper"` sets, what the source leaves open, and which settings override it."""
    if settings.recipe != "paper":
        return ()
    paper = paper_recipe_of(settings)
    if paper is None:
        note = f"Recipe paper: no source describes how {settings.method} was trained, so recipe auto is used."
        return (note,)
    fields = paper.fields_for(num_classes, settings.method_fields)
    own = [f"method.{name}={_word(value)}" for name, value in fields.items() if name not in settings.method_fields]
    notes = [
        f"Recipe paper: {settings.method} is trained by the recipe of its source"
        f"{', with ' + ', '.join(own) if own else ''}; {paper.note}"
    ]
    if num_classes > 1:
        notes += _notes_on_classes(settings, paper, fields)
    against = _against(settings, paper, num_classes)
    if against:
        notes.append(f"Your settings override the published recipe: {', '.join(against)}.")
    return tuple(notes)


def _notes_on_classes(settings: TrainSettings, paper: PaperRecipe, fields: dict[str, Any]) -> list[str]:
    """Return sentences on what is published for one class only."""
    from samtune.losses import ONE_CLASS

    notes = []
    if paper.recipe.loss in ONE_CLASS and "head" not in fields and settings.loss == "auto":
        notes.append(f"The published loss {paper.recipe.loss} is for one class; ce_dice replaces it, as in auto.")
    if paper.one_class:
        notes.append(f"The published form of {settings.method} is for one class; samtune's own form replaces it.")
    return notes


def _against(settings: TrainSettings, paper: PaperRecipe, num_classes: int) -> list[str]:
    """Return each setting that differs from the published recipe, with both values."""
    against = [
        f"{name}={_word(ours)} (published: {_word(theirs)})"
        for name, ours, theirs in ((key, getattr(settings, key), getattr(paper.recipe, key)) for key in COMPARABLE)
        if ours not in (None, "auto", theirs)
    ]
    if settings.tta not in (None, "none"):
        against.append(f"tta={settings.tta} (published: none)")
    if settings.updates is not None:
        against.append(f"updates={settings.updates} (published: {paper.recipe.epochs} epochs)")
    plain, given = paper.fields_for(num_classes, {}), settings.method_fields
    against += [
        f"method.{name}={_word(given[name])} (published: {_word(plain[name])})"
        for name in plain
        if name in given and given[name] != plain[name]
    ]
    return against


def _word(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
