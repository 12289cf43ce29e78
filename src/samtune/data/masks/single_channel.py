"""The encoding of single-channel masks, inferred from the values of a whole folder."""

from __future__ import annotations

import math
from collections import Counter

from samtune.data.masks.channel import Channel, listed
from samtune.data.masks.depths import mixed_depths
from samtune.data.masks.encodings import MaskEncoding
from samtune.data.masks.inferred import Inference, one_class, refuse
from samtune.data.masks.instances import are_instances, may_be_instances
from samtune.data.masks.statistics import NAN
from samtune.data.options import MAX_CLASSES
from samtune.types import Problem

MIN_PARTITION = 4
"""Masks without any 0 are taken for maps in which every pixel has a class only from this many ids on."""


class SingleChannel(Channel):
    """The encoding that the values of a folder of single-channel masks speak for."""

    def infer(self) -> Inference:
        """Return the encoding, or what stops it."""
        options = self.options
        if self.ignore is not None and self.ignore not in self.found:
            self.notes.append(f"The ignore label {options.ignore_label} occurs in no mask")
        if options.threshold is not None:
            return self._by_threshold()
        steps = [self._strange_values]
        if options.ids is None and options.background is None and options.instances is not True:
            steps += [self._scales, self.infer_two_levels, self._empty, self._zero_absent, self._binary]
        for step in (*steps, self._empty):
            outcome = step()
            if outcome is not None:
                return outcome
        ids = self._ids_found()
        # Grey levels of 8 bit are in every mask, as ids of objects may be; only far more ids than classes are objects.
        may_be_objects = options.ids is None and (self.unclear is None or (self.wide and len(ids) > MAX_CLASSES))
        if may_be_objects and are_instances(self.stats, self.sets, ids, options):
            return self._borders(only_between=True) or self._instances(len(ids))
        if self.unclear is not None:
            return self.unclear
        if options.ids is None and (refused := self._grey_levels() or self._borders(only_between=False)):
            return refused
        return self._ids(sorted(ids))

    def _by_threshold(self) -> Inference:
        said = self.options.threshold or 0
        limit = math.floor(said * 255 if self.reads == "unit" else said)
        sentence = f"Masks are read by a threshold: above {said} is the one class"
        return self._done(one_class(self.reads, self._with_ignore({}), limit, sentence, self.options))

    def _scales(self) -> Inference | None:
        if self._as_many_as_meant():
            return None
        outcome = mixed_depths(self.stats, self.sets, self.reads, self.options, {0, self.ignore or 0})
        return None if outcome is None else self._done(outcome)

    def _empty(self) -> Inference | None:
        if self._ids_found():
            return None
        what = "all masks are empty" if self.ignore not in self.found else "all masks are empty or ignored"
        return refuse("no_foreground", "masks", what, "draw the objects, or check the masks folder")

    def _zero_absent(self) -> Inference | None:
        """Masks in which no pixel is 0: with few ids, one of them may be the background."""
        ids = self._ids_found()
        if 0 in self.found or len(ids) < 2 or self._as_many_as_meant():
            return None
        counts: Counter[int] = Counter()
        for values, s in zip(self.values, self.stats, strict=True):
            counts.update(dict(zip(values.tolist(), s.counts.tolist(), strict=True)))
        shares = ", ".join(f"{v}: {100 * counts[v] / counts.total():.0f} %" for v in sorted(ids)[:8])
        ground = max(ids, key=lambda v: counts[v])
        what = f"no pixel of any mask is 0 (values {shares}{', ...' if len(ids) > 8 else ''})"
        if len(ids) < MIN_PARTITION:
            border = max(ids - {ground})
            mend = f"say which value is background, such as `--background {ground}`"
            if len(ids) == 3:
                mend += f" (with `--ignore-label {border}` if {border} is a border that counts nowhere)"
            mend += f", or `--classes {len(ids)}` if every value is a class"
            return refuse("no_background", "masks", what, mend)
        mend = f"give `--background VALUE` if one of them is background ({ground} is the most frequent)"
        self.problems.append(Problem("no_background", "masks", f"{what}: every pixel has a class", mend, False))
        self.notes.append("No pixel of any mask is 0: every pixel has a class, there is no background")
        return None

    def _binary(self) -> Inference | None:
        """One class: 0/255, 0/65535, 0/1 beside 0/255; also finds 255 as the ignore label."""
        found = self.found - {self.ignore}
        top = 65535 if self.wide and 65535 in found else 255
        if found <= {0, top}:
            form = "palette " if self.stats[0].form == "palette" else ""
            what = f"Masks are {form}0/{top}: {top} is the one class, 0 background"
            what += self._inverted()
            return self._done(one_class(self.reads, self._with_ignore({top: 1}), None, what, self.options))
        if found <= {0, 1, 255} and 255 in found:
            mixed = self._zero_one_or_255()
            if mixed is not None:
                return mixed
        return self._find_ignore(top)

    def _zero_one_or_255(self) -> Inference | None:
        """The values are 0, 1 and 255: two ways of writing binary masks, or 255 is ignored."""
        if self.found <= {0, 255} or any({1, 255} <= values for values in self.sets):
            return None
        if self.options.num_classes_meant not in (None, 1) or self.ignore is not None:
            return None
        ones = sum(1 in values for values in self.sets)
        whites = sum(255 in values for values in self.sets)
        what = f"Masks are 0/1 ({ones} files) and 0/255 ({whites} files): both 1 and 255 are the one class"
        return self._done(one_class(self.reads, ((1, 1), (255, 1)), None, what, self.options))

    def _find_ignore(self, top: int) -> Inference | None:
        """255 (65535 in 16 bit) beside small ids is the ignore label, unless it makes up the classes that are meant."""
        others = self.found - {0, top}
        if self.ignore is not None or top not in self.found or not others:
            return None
        meant = self.options.num_classes_meant
        if meant == len(others) + 1 and meant > 1:
            if max(others) > meant:
                self.notes.append(f"The value {top} is a class, since {meant} classes are meant")
                return None
            what = f"the masks have the ids {listed(sorted(others))} and {top}, and {meant} classes are meant"
            every = ",".join(map(str, sorted({*others, top})))
            mend = f"give `--ids {every}` if {top} is a class, `--ignore-label {top}` if it counts nowhere"
            return refuse("ignore_or_class", "masks", what, mend)
        if max(others) < top and max(others) <= max(32, 2 * len(others)):
            self.ignore = top
            num = sum(top in values for values in self.sets)
            self.notes.append(
                f"The value {top} ({num} masks) beside ids up to {max(others)} taken for the ignore label: "
                "it counts nowhere"
            )
        return None

    def _instances(self, num: int) -> Inference:
        what = f"Masks hold one id per object ({num} ids, different from image to image): merged into one class"
        names = self.options.class_names or ("foreground",)
        return self._done(Inference(MaskEncoding("instances", self.reads, self._with_ignore({}), None, 1, what), names))

    def _ids(self, found: list[int]) -> Inference:
        """Class ids: as they are, or brought to 1..K in their order."""
        meant, ids = self.options.num_classes_meant, self.options.ids
        if ids is None and meant is not None and found[0] > 0 and found[-1] <= meant:
            ids = tuple(range(1, meant + 1))
        if ids is None and (meant is None or len(found) <= meant):
            ids = tuple(found)
            if meant is not None and len(found) < meant:
                what = f"masks have the ids {found}, but {meant} classes are meant and the ids go beyond that"
                mend = f"renumber them to 1..{meant}, or give `--ids` with the value of each class"
                return refuse("fewer_classes", "masks", what, mend)
        if ids is None or not set(found) <= set(ids):
            return self._too_many(found, ids or tuple(range(1, (meant or 0) + 1)))
        if len(ids) > MAX_CLASSES:
            what = f"masks have {len(ids)} class ids (up to {ids[-1]}), but at most {MAX_CLASSES} are possible"
            return refuse("too_many_classes", "masks", what, "merge classes, or give `--instances` if ids are objects")
        absent = [value for value in ids if value not in self.found]
        if absent:
            self.notes.append(f"The class ids {absent[:10]} occur in no mask of this folder")
        if meant is None and self._may_be_objects(set(found)):
            self.notes.append(
                "Each id is one connected piece in every mask: read as classes; if the ids number objects, give "
                "`--instances`"
            )
        names = self.options.class_names or (
            ("foreground",) if len(ids) == 1 else tuple(f"class_{value}" for value in ids)
        )
        table = self._with_ignore({value: label for label, value in enumerate(ids, start=1)})
        kind = "binary" if len(ids) == 1 else "ids"
        return self._done(Inference(MaskEncoding(kind, self.reads, table, None, len(ids), self._says(ids)), names))

    def _may_be_objects(self, found: set[int]) -> bool:
        unsaid = self.options.ids is None and self.options.instances is None
        return unsaid and may_be_instances(self.stats, self.sets, found)

    def _says(self, ids: tuple[int, ...]) -> str:
        ground = " and ".join("NaN" if v == NAN else str(v) for v in sorted(self.background & self.found))
        straight = ids == tuple(range(1, len(ids) + 1))
        background = f"{ground} background" if ground else "no pixel background"
        if straight and len(ids) == 1:
            return f"Masks are {ground or 0}/1: 1 is the one class, {background}{self._inverted()}"
        if straight:
            background = background if self.options.background else "0 background"
            return f"Masks are class ids: {background}, 1..{len(ids)} the classes{self._inverted()}"
        shown = ", ".join(f"{value} -> {label}" for label, value in enumerate(ids[:12], start=1))
        more = ", ..." if len(ids) > 12 else ""
        said = f" ({background})" if self.options.background else ""
        return f"Masks are class ids with gaps, numbered in order: {shown}{more}{said}"

    def _inverted(self) -> str:
        """The end of a sentence on masks that are shown inverted, of which the stored values count."""
        num = sum(s.inverted for s in self.stats)
        return f" ({num} of {len(self.stats)} are shown inverted; the stored values count)" if num else ""

    def _too_many(self, found: list[int], allowed: tuple[int, ...]) -> Inference:
        extra = sorted(set(found) - set(allowed))
        where = [s for s, values in zip(self.stats, self.sets, strict=True) if values & set(extra)]
        shown = f"{extra[:10]}{' and more' if len(extra) > 10 else ''}"
        what = (
            f"has ids beyond the {len(allowed)} classes that are meant: {shown} "
            f"(in {len(where)} of {len(self.stats)} masks; ids found: {found[:20]})"
        )
        mend = f"say {len(found)} classes, give `--ignore-label` or `--background` for the others, or remove these ids"
        return refuse("too_many_classes", str(where[0].path), what, mend)
