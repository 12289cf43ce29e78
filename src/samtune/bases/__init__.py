"""The frozen subject: a Segment Anything model with named places for methods, and its weights' origin."""

from samtune.bases.kernels.upscaling import LOGITS_A_CELL, FineImage, masks_of
from samtune.bases.loading import EMBEDDED, META_SIZES, build, digest, is_local, load_base
from samtune.bases.precision import autocast_to, choose_precision, compute_in, keep_frozen_low
from samtune.bases.sam1.config import MAX_SIDE
from samtune.bases.sam1.encoder import Block, ImageEncoder
from samtune.bases.sam1.model import Sam, cell_centres
from samtune.bases.sites import (
    ENCODER_ROLES,
    ROLES,
    Call,
    ClassHeads,
    DecoderPrompts,
    EncoderPrompts,
    Head,
    MaskHeads,
    Side,
    is_base_module,
)

__all__ = [
    "EMBEDDED",
    "ENCODER_ROLES",
    "LOGITS_A_CELL",
    "MAX_SIDE",
    "META_SIZES",
    "ROLES",
    "Block",
    "Call",
    "ClassHeads",
    "DecoderPrompts",
    "EncoderPrompts",
    "FineImage",
    "Head",
    "ImageEncoder",
    "MaskHeads",
    "Sam",
    "Side",
    "autocast_to",
    "build",
    "cell_centres",
    "choose_precision",
    "compute_in",
    "digest",
    "is_base_module",
    "is_local",
    "keep_frozen_low",
    "load_base",
    "masks_of",
]
