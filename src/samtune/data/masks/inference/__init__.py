"""Inference of the encoding that all masks of a folder share, from their statistics.

Each guess is reported in a sentence. Values that can mean two things are not guessed: the outcome is then a problem
that names the options to choose between.

    dispatch.py        infer_encoding: transparency, colours or a single channel; infer_empty: masks without any object
    outcome.py         InferredEncoding: an encoding, or the problem that prevents one
    transparency.py    masks drawn in the alpha channel
    colours.py         masks with one colour per class
    palettes.py        whether palette masks hold ids or colours
    single_channel.py  single-channel masks: the order of the checks; binary masks, background, ignore label
    channel.py         the values of single-channel masks, which all checks share
    thresholds.py      binary masks with blurred edges or compression noise
    noise.py           which values are left by blur, JPEG or interpolation
    ids.py             class ids, and grey levels or borders that only look like ids
    instances.py       whether ids are objects rather than classes
    bit_depths.py      masks of several bit depths in one folder
"""

from samtune.data.masks.inference.dispatch import infer_empty, infer_encoding
from samtune.data.masks.inference.outcome import InferredEncoding

__all__ = ["InferredEncoding", "infer_empty", "infer_encoding"]
