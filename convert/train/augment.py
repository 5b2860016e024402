"""Random variations of unlabelled pictures, for distillation: crop, flip, colour, mixing."""

from __future__ import annotations

from typing import Any

from pocketgraph.convert.train.backend import tf


def augment(
    pictures: Any,
    low: float,
    high: float,
    random: Any,
    *,
    crop: float = 0.6,
    colour: float = 0.1,
    mix: float = 0.0,
) -> Any:
    """`pictures` `[N, h, w, c]` float32 with values `low`..`high`, each varied by itself, same shape and range.

    A random part of at least the area `crop` (0..1), its sides' ratio within 3:4 and 4:3, is stretched to the whole
    picture and flipped left to right half of the time; contrast and each channel's brightness change by up to
    `colour`; a random fraction of at most one half of another picture is blended into `mix` (0..1) of them. What the
    right answer for the result is, the dense model says: no label has to stay true. `random` is a
    `tf.random.Generator`.
    """
    shape = tf.shape(pictures)
    count, channels = shape[0], pictures.shape[-1]
    area = random.uniform([count], crop, 1.0)
    ratio = tf.exp(random.uniform([count], -0.288, 0.288))
    height, width = tf.minimum(1.0, tf.sqrt(area / ratio)), tf.minimum(1.0, tf.sqrt(area * ratio))
    top, left = random.uniform([count]) * (1 - height), random.uniform([count]) * (1 - width)
    flip = random.uniform([count]) < 0.5
    right = left + width
    boxes = tf.stack([top, tf.where(flip, right, left), top + height, tf.where(flip, left, right)], axis=1)
    result = tf.image.crop_and_resize(pictures, boxes, tf.range(count), shape[1:3])
    span = high - low
    mean = tf.reduce_mean(result, axis=[1, 2, 3], keepdims=True)
    gain = random.uniform([count, 1, 1, 1], 1 - colour, 1 + colour)
    shift = random.uniform([count, 1, 1, channels], -colour / 4, colour / 4) * span
    result = (result - mean) * gain + mean + shift
    share = random.uniform([count, 1, 1, 1], 0.0, 0.5)
    share = tf.where(random.uniform([count, 1, 1, 1]) < mix, share, 0.0)
    result += share * (tf.roll(result, 1, axis=0) - result)
    return tf.clip_by_value(result, low, high)
