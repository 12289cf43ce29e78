"""What surfaces look like: texture and photograph banks, light on relief, grounds, and the camera.

Images are float32 (height, width, 3) RGB, about 0..1; light directions are (x, y, z) with z towards the viewer.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from scenes import colour, fractal, smooth_field, texture_bank

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.random import Generator

Array = Any
ASSETS = ("objects", "silhouettes", "photos", "normals", "matcaps")


@functools.cache
def _drawn_textures(seed: int) -> Array:
    return texture_bank(seed)


class Bank:
    """Textures drawn from a seed, and the arrays of `assets.py` where a folder of them is given."""

    def __init__(self, seed: int, folder: Path | None = None, held_out: bool = False) -> None:
        self.held_out = held_out
        self.plain = _drawn_textures(seed)
        rng = np.random.default_rng([seed, 1])
        natural = [np.clip(fractal(rng, 384, rng.uniform(0.8, 1.6)) * 0.5, -1.5, 1.5) for _ in range(24)]
        part = "held" if held_out else "train"
        arrays: dict[str, Any] = {
            k: None if folder is None else np.load(folder / f"{part}-{k}.npy", mmap_mode="r") for k in ASSETS
        }
        self.objects, self.silhouettes, self.photos, self.normals, self.matcaps = (arrays[k] for k in ASSETS)
        natural += [_luminance(photo) for photo in self.photos] if self.photos is not None else []
        self.textures: list[Array] = [*self.plain, *[t for t in natural for _ in (0, 1)]]
        self.grain = rng.standard_normal((512, 512, 3), dtype=np.float32)

    def patch(self, rng: Generator, index: int, height: int, width: int, low: float = 0.5, high: float = 2.0) -> Array:
        """Cut a piece (height, width), values about -1.5..1.5, out of a texture at a scale of `low` to `high`."""
        texture = self.textures[index % len(self.textures)]
        scale = float(np.exp(rng.uniform(np.log(low), np.log(high))))
        rows, columns = min(int(height / scale) + 2, texture.shape[0]), min(int(width / scale) + 2, texture.shape[1])
        top, left = rng.integers(0, (texture.shape[0] - rows + 1, texture.shape[1] - columns + 1))
        cut = texture[top : top + rows, left : left + columns]
        if rng.random() < 0.5:
            cut = cut[:, ::-1]
        return cv2.resize(np.ascontiguousarray(cut), (width, height), interpolation=cv2.INTER_LINEAR)

    def photo(self, rng: Generator, index: int, side: int) -> Array:
        """Cut a square (side, side, 3) out of a photograph, 0..1."""
        photo = self.photos[index % len(self.photos)]
        size = int(rng.integers(90, 257))
        top, left = rng.integers(0, (256 - size + 1, 512 - size + 1))
        cut = np.ascontiguousarray(photo[top : top + size, left : left + size][:, :: 1 if rng.random() < 0.5 else -1])
        return cv2.resize(cut, (side, side), interpolation=cv2.INTER_CUBIC).astype(np.float32) / 255

    def slopes(self, rng: Generator, index: int, height: int, width: int) -> tuple[Array, Array]:
        """Cut the slopes (height, width) along x and y out of a normal map."""
        normals = self.normals[index % len(self.normals)]
        size = int(rng.integers(100, 257))
        top, left = rng.integers(0, 256 - size + 1, 2)
        cut = np.float32(normals[top : top + size, left : left + size]) / 127
        cut = cv2.resize(cut, (max(height, width), max(height, width)), interpolation=cv2.INTER_LINEAR)
        return cut[:height, :width, 0], cut[:height, :width, 1]


def rgb(*values: float) -> Array:
    """A colour as float32 (n,)."""
    return np.array(values, np.float32)


def _luminance(photo: Array) -> Array:
    """The local contrast of a photograph as a texture (256, 512)."""
    grey = cv2.cvtColor(np.ascontiguousarray(photo), cv2.COLOR_RGB2GRAY).astype(np.float32)
    grey -= cv2.GaussianBlur(grey, (0, 0), 40)
    return np.clip(grey / (2 * grey.std() + 1e-3), -1.5, 1.5)


def dome(mask: Array) -> Array:
    """The height of an inflated mask: 0 at its outline, 1 deepest inside, round between; float32."""
    depth = cv2.distanceTransform(mask, cv2.DIST_L2, 3)
    depth /= depth.max() + 1e-6
    return np.sqrt(depth * (2 - depth))


def slopes_of(height: Array) -> tuple[Array, Array]:
    """The derivatives of a height map along x and y."""
    return cv2.Sobel(height, cv2.CV_32F, 1, 0, scale=0.125), cv2.Sobel(height, cv2.CV_32F, 0, 1, scale=0.125)


def lit(slope_x: Array, slope_y: Array, light: Array, gloss: float, sharp: float = 40.0) -> tuple[Array, Array]:
    """Light on a relief: the diffuse part, 1 where flat, and the specular one; (height, width)."""
    norm = 1 / np.sqrt(slope_x**2 + slope_y**2 + 1)
    diffuse = np.clip((light[2] - slope_x * light[0] - slope_y * light[1]) * norm, 0, None) / light[2]
    if gloss <= 0:
        return diffuse, np.zeros_like(diffuse)
    half = np.array(light) + np.array([0, 0, 1])
    half = half / np.linalg.norm(half)
    toward = np.clip((half[2] - slope_x * half[0] - slope_y * half[1]) * norm, 0, 1)
    return diffuse, gloss * cv2.pow(toward, sharp)


def light_from(rng: Generator) -> Array:
    """A unit direction of light, more from above than from below."""
    angle, tilt = rng.normal(-np.pi / 2, 1.2), rng.uniform(0.3, 1.1)
    return np.array([np.cos(angle) * np.sin(tilt), np.sin(angle) * np.sin(tilt), np.cos(tilt)])


@dataclass
class Material:
    """A kind of surface; colours RGB in 0..1, indices into the bank (-1: none), lengths in pixels."""

    base: Array
    other: Array
    texture: int
    contrast: float
    mixing: float = 0.0
    photo: int = -1
    relief: int = -1
    matcap: int = -1
    dome: float = 0.0
    bump: float = 0.0
    gloss: float = 0.0
    rim: float = 0.0
    edge: float = 0.7
    opacity: float = 1.0
    shadow: float = 0.0
    jitter: float = 0.03
    light: float = 0.05

    def body(self, rng: Generator, bank: Bank, mask: Array, light: Array, own: Array | None = None) -> Array:
        """Paint a body (height, width, 3) over the whole window of a mask (uint8); `own` replaces its colours."""
        height, width = mask.shape
        shift = (rng.normal(0, self.jitter, 3) + rng.normal(0, self.light)).astype(np.float32)
        out = np.empty((height, width, 3), np.float32)
        out[:] = self.base + shift
        if self.photo >= 0 and bank.photos is not None:
            cut = bank.photo(rng, self.photo, max(height, width))[:height, :width]
            out = 0.4 * out + 0.6 * cut * (out.mean() / max(0.1, float(cut.mean())))
        if self.mixing > 0.02:
            share = np.clip(bank.patch(rng, self.texture + 1, height, width) * 0.8 + 0.3, 0, 1) * self.mixing
            out += (self.other - self.base).astype(np.float32) * share[..., None]
        if own is not None:
            out = own * (1 + shift)
        if self.contrast > 0.02:
            out *= (1 + self.contrast * bank.patch(rng, self.texture, height, width))[..., None]
        raised = dome(mask) if self.dome or self.rim or self.matcap >= 0 else None
        if self.rim and raised is not None:
            out += (self.rim * (1 - raised))[..., None]
        if self.dome or self.bump or self.relief >= 0 or self.matcap >= 0:
            out = self._lit(rng, bank, out, raised, light)
        return out

    def _lit(self, rng: Generator, bank: Bank, out: Array, raised: Array | None, light: Array) -> Array:
        height, width = out.shape[:2]
        slope_x, slope_y = np.zeros((2, height, width), np.float32)
        if raised is not None and (self.dome or self.matcap >= 0):
            high = raised * (self.dome or 0.8) * max(3.0, min(height, width) / 3)
            slope_x, slope_y = slopes_of(cv2.GaussianBlur(high.astype(np.float32), (0, 0), 1.2))
        if self.bump:
            rough = slopes_of(bank.patch(rng, self.texture, height, width) * (self.bump * 4))
            slope_x, slope_y = slope_x + rough[0], slope_y + rough[1]
        if self.relief >= 0 and bank.normals is not None:
            carved = bank.slopes(rng, self.relief, height, width)
            slope_x, slope_y = slope_x - carved[0], slope_y - carved[1]
        if self.matcap >= 0 and bank.matcaps is not None:
            ball = bank.matcaps[self.matcap % len(bank.matcaps)]
            norm = 1 / np.sqrt(slope_x**2 + slope_y**2 + 1)
            columns = np.clip(32 - 29 * slope_x * norm, 0, 63).astype(np.intp)
            rows = np.clip(32 - 29 * slope_y * norm, 0, 63).astype(np.intp)
            return 0.75 * ball[rows, columns].astype(np.float32) / 255 + 0.25 * out
        diffuse, shine = lit(slope_x, slope_y, light, self.gloss)
        return out * (0.35 + 0.65 * diffuse)[..., None] + shine[..., None]


def draw_material(rng: Generator, bank: Bank, ground: Array, thin: bool = False) -> Material:
    """Draw a material: free, close to the ground's colour, or the ground's colour with another texture or relief."""
    mode, paint = rng.random(), colour(rng)
    if mode < 0.35:
        paint = ground + rng.choice([-1, 1]) * rng.uniform(0.05, 0.25) * rng.uniform(0.4, 1, 3)
    elif mode < 0.47 and not thin:
        paint = ground.copy()
    other = paint + rng.normal(0, 0.12, 3) if rng.random() < 0.6 else colour(rng)
    raised, solid = rng.random() < 0.6, not thin
    return Material(
        base=np.clip(paint, 0.02, 1),
        other=np.clip(other, 0, 1),
        texture=int(rng.integers(1 << 20)),
        contrast=rng.uniform(0.15, 0.45) if mode < 0.47 else rng.uniform(0, 0.35),
        mixing=rng.uniform(0.2, 1) if rng.random() < 0.4 else 0.0,
        photo=int(rng.integers(1 << 20)) if solid and rng.random() < 0.15 else -1,
        relief=int(rng.integers(1 << 20)) if solid and rng.random() < 0.2 else -1,
        matcap=int(rng.integers(1 << 20)) if solid and rng.random() < 0.15 else -1,
        dome=rng.uniform(0.15, 0.9) if solid and (raised or 0.35 <= mode < 0.47) else 0.0,
        bump=rng.uniform(0.1, 0.5) if solid and rng.random() < 0.35 else 0.0,
        gloss=rng.uniform(0.1, 0.8) if rng.random() < 0.35 else 0.0,
        rim=rng.normal(0, 0.15) if rng.random() < 0.3 else 0.0,
        edge=0.5 if thin else float(rng.choice([0.4, 0.6, 1.0, 2.0], p=[0.3, 0.4, 0.2, 0.1])),
        opacity=rng.uniform(0.5, 0.95) if rng.random() < 0.25 else 1.0,
        shadow=rng.uniform(0.15, 0.6) if rng.random() < 0.4 else 0.0,
        jitter=rng.uniform(0, 0.06),
        light=rng.uniform(0, 0.12),
    )


@dataclass
class Ground:
    """The ground of a scene: a photograph out of focus, or a textured, perhaps carved surface of two colours."""

    material: Material
    photo: int = -1
    focus: float = 0.0
    zones: bool = False

    def paint(self, rng: Generator, bank: Bank, side: int, light: Array) -> Array:
        """Paint it, (side, side, 3)."""
        if self.photo >= 0 and bank.photos is not None:
            image = bank.photo(rng, self.photo, side)
            return cv2.GaussianBlur(image, (0, 0), self.focus) if self.focus > 0.3 else image
        image = self.material.body(rng, bank, np.ones((side, side), np.uint8), light)
        if self.zones:
            zone = (smooth_field(rng, side, int(rng.integers(3, 8))) > rng.normal(0, 0.5)).astype(np.float32)
            zone = cv2.GaussianBlur(zone, (0, 0), rng.uniform(0.7, 5))[..., None]
            image += zone * (self.material.other - self.material.base).astype(np.float32)
        return image


def draw_ground(rng: Generator, bank: Bank) -> Ground:
    """Draw a ground; two fifths are photographs where there are any."""
    material = draw_material(rng, bank, colour(rng))
    material.dome = material.rim = 0.0
    material.matcap, material.light = -1, 0.02
    is_photo = bank.photos is not None and rng.random() < 0.4
    focus = rng.uniform(0, 3) if rng.random() < 0.6 else 0.0
    return Ground(material, int(rng.integers(1 << 20)) if is_photo else -1, focus, bool(rng.random() < 0.35))


@dataclass
class Camera:
    """What light, optics, sensor and file do to a whole image."""

    illumination: float
    vignette: float
    glints: int
    blur: float
    motion: int
    noise: float
    gamma: float
    balance: Array
    grey: bool
    coarse: float
    jpeg: int
    exposes: bool = False

    def take(self, rng: Generator, bank: Bank, image: Array) -> Array:
        """Take the picture: uint8 (side, side, 3)."""
        side, image = image.shape[0], np.float32(image)
        mean = float(image[::8, ::8].mean())
        if self.exposes and not 0.25 < mean < 0.65:
            image = image * np.float32(np.clip(mean, 0.25, 0.65) / max(mean, 0.02))
        if self.illumination:
            image = image * (1 + smooth_field(rng, side, 3) * self.illumination)[..., None]
        if self.glints:
            image = image + glints(rng, side, self.glints)[..., None]
        if self.vignette:
            rows = np.linspace(-1, 1, side, dtype=np.float32) ** 2
            image = image * (1 - self.vignette * 0.5 * (rows[:, None] + rows[None]))[..., None]
        if self.blur:
            image = cv2.GaussianBlur(image, (0, 0), self.blur)
        if self.motion:
            kernel = np.zeros((self.motion, self.motion), np.float32)
            cv2.line(kernel, (0, int(rng.integers(self.motion))), (self.motion - 1, int(rng.integers(self.motion))), 1)
            image = cv2.filter2D(image, -1, kernel / kernel.sum())
        image = cv2.pow(np.clip(image * self.balance, 0, 1), self.gamma)
        if self.grey:
            image = np.repeat(cv2.cvtColor(np.float32(image), cv2.COLOR_RGB2GRAY)[..., None], 3, -1)
        if self.coarse < 1:
            small = cv2.resize(image, None, fx=self.coarse, fy=self.coarse, interpolation=cv2.INTER_AREA)
            image = cv2.resize(small, (side, side), interpolation=cv2.INTER_LINEAR)
        top, left = rng.integers(0, 512 - side + 1, 2)
        grain = bank.grain[top : top + side, left : left + side]
        image = image + (grain[..., :1] if self.grey else grain) * (self.noise * (0.5 + image))
        out = (np.clip(image, 0, 1) * 255).astype(np.uint8)
        if self.jpeg:
            packed = cv2.imencode(".jpg", out, [cv2.IMWRITE_JPEG_QUALITY, self.jpeg])[1]
            out = cv2.imdecode(packed, cv2.IMREAD_COLOR)
        return out


def draw_camera(rng: Generator) -> Camera:
    """Draw a camera; themes change it where their kind of picture asks for it."""
    return Camera(
        illumination=rng.uniform(0.05, 0.25) if rng.random() < 0.5 else 0.0,
        vignette=rng.uniform(0.1, 0.8) if rng.random() < 0.2 else 0.0,
        glints=int(rng.integers(1, 8)) if rng.random() < 0.08 else 0,
        blur=rng.uniform(0.4, 1.3) if rng.random() < 0.4 else 0.0,
        motion=int(rng.integers(3, 7)) if rng.random() < 0.06 else 0,
        noise=rng.uniform(0, 0.05),
        gamma=float(np.exp(rng.normal(0, 0.22))),
        balance=np.exp(rng.normal(0, 0.08, 3)).astype(np.float32),
        grey=bool(rng.random() < 0.12),
        coarse=rng.uniform(0.45, 0.9) if rng.random() < 0.15 else 1.0,
        jpeg=int(rng.integers(35, 95)) if rng.random() < 0.5 else 0,
        exposes=bool(rng.random() < 0.85),
    )


def glints(rng: Generator, side: int, num: int) -> Array:
    """Small specular spots (side, side)."""
    spots = np.zeros((side, side), np.float32)
    for x, y in rng.integers(0, side, (num, 2)):
        axes = (int(rng.integers(1, 8)), int(rng.integers(1, 5)))
        cv2.ellipse(spots, (int(x), int(y)), axes, float(rng.uniform(0, 180)), 0, 360, 1.0, -1)
    return cv2.GaussianBlur(spots, (0, 0), rng.uniform(0.7, 2)) * 0.8
