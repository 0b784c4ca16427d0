from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from .backdrop import backdrop, thing
from .figure import Figure
from .landmarks import landmarks, part_map, visibility
from .outfit import sample_outfit
from .paint import Light, grain, paint, sample_light
from .postures import sample_posture
from .raycast import DepthCanvas
from .rng import keyed_rng
from .skeleton import Skeleton, rotation

# World axes (forward, left, up) as seen by a level camera in front of a person: the person's left
# is to the right, up is against y, forward is towards the camera.
_FACING = np.array([[0., 1., 0.], [0., 0., -1.], [-1., 0., 0.]])


@dataclass(frozen=True)
class SceneOptions:
    """What a scene of people is like.

    Args:
        size: Width and height in pixels.
        people: Fewest and most people.
        stature: Smallest and largest height of a person standing up, in heights of the image.
        variety: 0 draws walkers only, 1 postures of all kinds.
        yaw: Largest angle between where a person faces and the camera, in degrees; 180 is any.
        roll: Standard deviation of the rotation in the image plane, in degrees.
        occlusion: Chance of an object in front of the people.
        clutter: Scale of the number of things in the background and of its contrast.
        degrade: Scale of blur, noise and compression.
    """
    size: tuple = (192, 256)
    people: tuple = (1, 2)
    stature: tuple = (.6, 1.)
    variety: float = 1.
    yaw: float = 180.
    roll: float = 10.
    occlusion: float = .35
    clutter: float = 1.
    degrade: float = 1.

    def __post_init__(self) -> None:
        if len(self.size) != 2 or min(self.size) < 32 or max(self.size) > 1024:
            raise ValueError(f'size must be a width and a height of 32 to 1024, not {self.size}')
        if len(self.people) != 2 or not 1 <= self.people[0] <= self.people[1] <= 8:
            raise ValueError(f'people must be a fewest and a most of 1 to 8, not {self.people}')
        if len(self.stature) != 2 or not .1 <= self.stature[0] <= self.stature[1] <= 3:
            raise ValueError(f'stature must be a smallest and a largest of .1 to 3, '
                             f'not {self.stature}')
        for name, top in (('variety', 1.), ('yaw', 180.), ('roll', 180.), ('occlusion', 1.),
                          ('clutter', 10.), ('degrade', 10.)):
            value = getattr(self, name)
            if not 0 <= value <= top:
                raise ValueError(f'{name} must be within 0 and {top:g}, not {value}')


@dataclass(frozen=True)
class Person:
    """One annotated person.

    Attributes:
        keypoints: ``[26, 3]``: x, y in pixels (centres of pixels are whole), COCO's flag.
        bbox: x, y, width, height of the body within the image, what hides it disregarded.
        area: Pixels of the body within the image, likewise.
        parts: uint8 ``[height, width]``, which of PARTS shows at each pixel of this person.
    """
    keypoints: np.ndarray
    bbox: tuple
    area: float
    parts: np.ndarray


@dataclass(frozen=True)
class Scene:
    """An image (uint8 RGB ``[height, width, 3]``), its people, the quality to compress it at."""
    image: np.ndarray
    people: tuple
    quality: int


@dataclass
class _Layer:
    figure: Figure
    canvas: DepthCanvas
    points: np.ndarray
    body: np.ndarray
    shown: np.ndarray


def render_scene(seed: object, index: int, options: SceneOptions) -> Scene:
    """Draw one scene.

    Args:
        seed: Seed of the data set.
        index: Number of the scene.
        options: What it is like.

    Returns:
        Scene: The same for the same arguments, whichever process asks.
    """
    rng = keyed_rng('scene', seed, index)
    width, height = options.size
    image = backdrop(height, width, options.clutter, rng)
    light = sample_light(rng)
    count = int(rng.integers(options.people[0], options.people[1] + 1))
    scales = np.sort(rng.uniform(options.stature[0], options.stature[1], count)) * height
    layers: list[_Layer] = []
    for number, scale in enumerate(scales):
        layer = _person(float(scale), number == count - 1, options, rng)
        if layer is None or not _admit(layer.body, layers, .5):
            continue
        _blend(image, layer, light, rng)
        layers.append(layer)
    if rng.random() < options.occlusion:
        mask = np.zeros((height, width), np.uint8)
        front = image.copy()
        thing(front, rng, mask)
        if _admit(mask > 0, layers, .55):
            cv2.copyTo(front, mask, image)
    image = _photograph(image, options.degrade, rng)
    quality = int(rng.integers(max(20, 92 - int(35 * options.degrade)), 96))
    return Scene(image, tuple(_annotate(layer) for layer in layers), quality)


def _person(scale: float, main: bool, options: SceneOptions,
            rng: np.random.Generator) -> _Layer | None:
    width, height = options.size
    params, skeleton = sample_posture(rng, options.variety)
    yaw, elevation = rng.uniform(-options.yaw, options.yaw), rng.normal(6, 9)
    roll = rng.normal(0, options.roll)
    turn = (rotation('z', roll) @ rotation('x', elevation) @ _FACING @ rotation('z', yaw))
    skeleton = _perspective(skeleton.transformed(turn, scale), scale * rng.uniform(2.5, 6.))
    outfit = sample_outfit(rng)
    joints = np.stack(list(skeleton.joints.values()))[:, :2]
    low, high = joints.min(0) - .06 * scale, joints.max(0) + .06 * scale
    space = np.array([width, height]) - (high - low)
    # Whoever fits in stands inside; the rest is cut off at the border, little or much.
    spare = .12 * np.array([width, height]) if main else .3 * np.array([width, height])
    least = np.minimum(0, space) - (spare if rng.random() < .25 or not main else 0)
    most = np.maximum(0, space) + (spare if rng.random() < .25 or not main else 0)
    shift = np.append(rng.uniform(least, most) - low, 0.)
    skeleton = Skeleton({k: v + shift for k, v in skeleton.joints.items()}, skeleton.frames)
    figure = Figure(params, skeleton, outfit, scale)
    canvas = DepthCanvas(height, width)
    canvas.draw(figure.solids)
    body = canvas.surface > 0
    if body.sum() < .03 * scale ** 2:
        return None
    return _Layer(figure, canvas, landmarks(figure), body, body.copy())


def _perspective(skeleton: Skeleton, distance: float) -> Skeleton:
    """Bring what is near to the camera apart, and what is far together."""
    return Skeleton({k: v * (distance / (distance + v[2]), distance / (distance + v[2]), 1.)
                     for k, v in skeleton.joints.items()}, skeleton.frames)


def _admit(mask: np.ndarray, layers: list[_Layer], limit: float) -> bool:
    """Let something stand in front, unless it would hide more than `limit` of somebody."""
    left = [layer.shown & ~mask for layer in layers]
    if any(shown.sum() < (1 - limit) * layer.body.sum() for shown, layer in zip(left, layers)):
        return False
    for shown, layer in zip(left, layers):
        layer.shown = shown
    return True


def _blend(image: np.ndarray, layer: _Layer, light: Light, rng: np.random.Generator) -> None:
    window = layer.canvas.window()
    colour = paint(layer.figure, layer.canvas.cropped(window), light, rng)
    cover = cv2.GaussianBlur(layer.body[window].astype(np.float32), (3, 3), .6)[..., None]
    image[window] = (image[window] * (1 - cover)
                     + cv2.GaussianBlur(colour, (3, 3), .6)).astype(np.uint8)


def _annotate(layer: _Layer) -> Person:
    keypoints = layer.points.copy()
    keypoints[:, 2] = visibility(layer.figure, layer.points, layer.canvas, layer.shown)
    keypoints[keypoints[:, 2] == 0] = 0
    rows, columns = layer.canvas.window(margin=0)
    bbox = columns.start, rows.start, columns.stop - columns.start, rows.stop - rows.start
    parts = part_map(layer.figure, layer.canvas) * layer.shown
    return Person(keypoints, tuple(map(int, bbox)), float(layer.body.sum()), parts)


def _photograph(image: np.ndarray, degrade: float, rng: np.random.Generator) -> np.ndarray:
    """Exposure, white balance, blur and sensor noise."""
    gain = rng.normal(1, .16) * (1 + rng.normal(0, .07, 3))
    gamma = np.exp(rng.normal(0, .22))
    ramp = 255 * np.linspace(0, 1, 256)[:, None] ** gamma * np.maximum(gain, .35)
    image = cv2.LUT(image, np.clip(ramp, 0, 255).astype(np.uint8)[:, None])
    blur = degrade * abs(rng.normal(0, .7))
    if blur > .35:
        if rng.random() < .3:
            kernel = cv2.getRotationMatrix2D((3., 3.), float(rng.uniform(0, 180)), 1.)
            line = np.zeros((7, 7), np.float32)
            line[3] = 1
            line = cv2.warpAffine(line, kernel, (7, 7))
            image = cv2.filter2D(image, -1, line / line.sum())
        else:
            image = cv2.GaussianBlur(image, (0, 0), blur)
    noise = np.float32(degrade * abs(rng.normal(0, 5.)))
    fine, coarse = noise * grain(image.shape[:2], 0, rng), noise * grain(image.shape[:2], 1, rng)
    return cv2.add(image, cv2.merge([fine, fine, coarse]), dtype=cv2.CV_8U)
