"""The one path from an image to its logits: prepare, encode, decode, back to the image's size.

    image --prepare--> pixels (B, 3, S, S) --encode--> Features --decode--> logits (B, K, h, w)
          --full_size--> logits (K, H, W) of each image, which a task answers (`samtune.tasks`)

`segment` runs all steps for a batch of images; training and comparison start from cached features. The reasons for this
design are in docs/design/segment.md.
"""

from samtune.segment.path import Decoder, Encoder, Inputs, PixelEncoder, encode, full_size, prepare, segment
from samtune.segment.restore import to_original, without_padding

__all__ = [
    "Decoder",
    "Encoder",
    "Inputs",
    "PixelEncoder",
    "encode",
    "full_size",
    "prepare",
    "segment",
    "to_original",
    "without_padding",
]
