"""What a user may say about a folder of images and masks; all of it is inferred and told where left out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from samtune.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_CLASSES = 254
"""Label maps are uint8 with 0 for background and 255 for ignored pixels: this many classes are left."""


NOT_CLASSES = frozenset({"background", "ignore", "void"})
"""Names in a colour map that are no classes."""


@dataclass(frozen=True)
class DataOptions:
    """How masks are to be read where the folder itself leaves doubt.

    Attributes:
        num_classes: K, the number of foreground classes that are meant; more in the masks is an error. With
            K given, the ids 1..K keep their meaning even if some of them do not occur in this folder.
        class_names: K names, in the order of the ids; says `num_classes` too.
        colours: class name -> (red, green, blue) of RGB masks, 0..255. Black is background; the names
            "background" and "ignore" (or "void") are taken at their word.
        ignore_label: the value in the mask files of pixels that count nowhere (types.IGNORE in the label
            maps).
        ids: the values in the mask files that become classes 1..K, in this order; for a further folder that
            must be read like the first one (`Dataset.options` gives them).
        instances: True: every id above 0 is one object of a single class; False: ids are classes; None:
            inferred.

    Raises:
        ConfigError: the fields contradict each other or are out of range.
    """

    num_classes: int | None = None
    class_names: tuple[str, ...] | None = None
    colours: Mapping[str, tuple[int, int, int]] | None = None
    ignore_label: int | None = None
    ids: tuple[int, ...] | None = None
    instances: bool | None = None

    def __post_init__(self) -> None:
        """Check the fields against each other."""
        if self.num_classes is not None and not 1 <= self.num_classes <= MAX_CLASSES:
            raise ConfigError(
                f"num_classes must lie in 1..{MAX_CLASSES} (background not counted), got {self.num_classes}"
            )
        names = self.class_names
        if names is not None:
            if not names or len(set(names)) != len(names):
                raise ConfigError(f"class_names must be different names, at least one, got {list(names)}")
            if self.num_classes is not None and self.num_classes != len(names):
                raise ConfigError(
                    f"num_classes is {self.num_classes} but class_names has {len(names)}: {list(names)}; "
                    "background is neither counted nor named"
                )
        if self.colours is not None:
            for name, colour in self.colours.items():
                if len(colour) != 3 or any(not 0 <= value <= 255 for value in colour):
                    raise ConfigError(f"colours[{name!r}] must be three values in 0..255, got {tuple(colour)}")
            if len({tuple(colour) for colour in self.colours.values()}) != len(self.colours):
                raise ConfigError("colours must give every class its own colour")
            classes = [name for name in self.colours if name.lower() not in NOT_CLASSES]
            if names is not None and set(classes) != set(names):
                raise ConfigError(f"class_names {list(names)} and colours {classes} must name the same classes")
        if self.ids is not None and self.num_classes_meant not in (None, len(self.ids)):
            raise ConfigError(f"ids has {len(self.ids)} values but {self.num_classes_meant} classes are meant")
        if self.instances and self.num_classes_meant not in (None, 1):
            raise ConfigError(f"instances=True means one class, but {self.num_classes_meant} are meant")

    @property
    def num_classes_meant(self) -> int | None:
        """K as said by `num_classes` or by `class_names`, None where neither is given."""
        if self.num_classes is not None:
            return self.num_classes
        return len(self.class_names) if self.class_names is not None else None
