"""Bases: Segment Anything models behind one protocol, with sites for the modules of methods, and their loader.

base.py        the protocol `Base` and its parts `Encoder`, `Block`, `Decoder`
sites.py       where a method can attach modules
recording.py   losses and other outputs of a forward pass beside its logits
precision.py   float32 or bfloat16 encoders
families.py    table of the families; `sam1/` is the first
loading.py     a name -> a base; `weights.py` and `checkpoints.py` read the files
kernels/       fast exact forward passes, each with the plain computation that it must equal
"""

from samtune.bases.autocast import autocast_to
from samtune.bases.base import MAX_IMAGE_SIZE, Base, Block, Decoder, Encoder, Head, PromptedMasks, cell_centres
from samtune.bases.families import FAMILIES, Family, published, register_family
from samtune.bases.kernels.upscaling import LOGITS_PER_CELL, FineImage, masks_of
from samtune.bases.loading import EMBEDDED, build, is_local, licence_of, load_base
from samtune.bases.precision import choose_precision, compute_in, keep_frozen_low
from samtune.bases.recording import Outputs, Supervised, current_outputs, recording
from samtune.bases.sites import (
    Call,
    ClassHeads,
    DecoderPrompts,
    EncoderPrompts,
    MaskHeads,
    Roles,
    Side,
    Sites,
    is_base_module,
)
from samtune.bases.weights import aligned, digest

__all__ = [
    "EMBEDDED",
    "FAMILIES",
    "LOGITS_PER_CELL",
    "MAX_IMAGE_SIZE",
    "Base",
    "Block",
    "Call",
    "ClassHeads",
    "Decoder",
    "DecoderPrompts",
    "Encoder",
    "EncoderPrompts",
    "Family",
    "FineImage",
    "Head",
    "MaskHeads",
    "Outputs",
    "PromptedMasks",
    "Roles",
    "Side",
    "Sites",
    "Supervised",
    "aligned",
    "autocast_to",
    "build",
    "cell_centres",
    "choose_precision",
    "compute_in",
    "current_outputs",
    "digest",
    "is_base_module",
    "is_local",
    "keep_frozen_low",
    "licence_of",
    "load_base",
    "masks_of",
    "published",
    "recording",
    "register_family",
]
