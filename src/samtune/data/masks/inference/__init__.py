"""From the statistics of all masks of a folder to the encoding they share; each guess is a sentence for the user.

Nothing is guessed where the values can mean two things: the outcome is then a problem that names the options.

    dispatch.py        infer_encoding: transparency, colours or a single channel? Also folders without any object
    outcome.py         InferredEncoding: an encoding, or the problem that prevents one
    transparency.py    masks drawn in the alpha channel
    colours.py         masks with one colour per class
    palettes.py        whether palette masks hold ids or colours
    single_channel.py  the order of the checks for single-channel masks; binary masks, background, ignore label
    channel.py         the values of single-channel masks, which all checks share
    thresholds.py      binary masks with blurred edges or compression noise
    noise.py           which values are left by blur, JPEG or interpolation
    ids.py             class ids, and what only looks like ids
    instances.py       whether ids are objects rather than classes
    bit_depths.py      masks of several bit depths in one folder
"""

from samtune.data.masks.inference.dispatch import infer_empty, infer_encoding
from samtune.data.masks.inference.outcome import InferredEncoding

__all__ = ["InferredEncoding", "infer_empty", "infer_encoding"]
