"""Public data sets as downloaded, selected by a prefix of the path: `cod10k:PATH`, `cod10k/test:PATH`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from samtune.data.formats.format import Certainty, Detection, Records
from samtune.data.public_sets import find_layout_pairs, layout_options, parse_set_name
from samtune.errors import DataError

if TYPE_CHECKING:
    from pathlib import Path

    from samtune.data.options import DataOptions


class PublicSet:
    """Format of public data sets; `samtune.data.public_sets` has their folders and the meaning of their masks."""

    name = "public_set"
    expects = "a public data set as SET:PATH (`samtune data list` shows them)"

    def detect(self, images: Path, masks: Path | None) -> Detection | None:
        """See `Format.detect`; only the prefix of the path counts.

        Raises:
            DataError: the prefix names a data set, but a part that it does not have.
        """
        named = parse_set_name(images)
        return None if named is None else Detection(Certainty.NAMED, f"{named[0].name} is a public data set")

    def read(self, images: Path, masks: Path | None, options: DataOptions) -> Records:
        """See `Format.read`."""
        named = parse_set_name(images)
        if named is None:
            raise DataError(f"{images}: expected {self.expects}")
        if masks is not None:
            raise DataError(f"{images}: a public data set has its own masks; leave out the masks folder ({masks})")
        pairs, problems, notes = find_layout_pairs(*named)
        return Records(tuple(pairs), tuple(problems), tuple(notes), layout_options(named[0], options))
