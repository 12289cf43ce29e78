"""The frozen subject: a Segment Anything model with named places for methods, and its weights' origin."""

from samtune.sam.base_config import MAX_SIDE
from samtune.sam.model import Sam, cell_centres
from samtune.sam.precision import autocast_to, choose_precision, compute_in, keep_frozen_low
from samtune.sam.sites import (
    ENCODER_ROLES,
    ROLES,
    Call,
    ClassHeads,
    DecoderPrompts,
    EncoderPrompts,
    MaskHeads,
    Side,
    is_base_module,
)
from samtune.sam.upscaling import LOGITS_A_CELL, FineImage, masks_of
from samtune.sam.vit import Block, ImageEncoder
from samtune.sam.weights import EMBEDDED, META_SIZES, build, digest, is_local, load_base

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
