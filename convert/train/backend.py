"""TensorFlow and Keras 3, imported in this one place; without the extra `train` the error says what to install."""

from __future__ import annotations

from pocketgraph.models.errors import MissingExtraError, UsageError
from pocketgraph.models.native_log import TENSORFLOW_CHATTER, without_lines

try:
    with without_lines(TENSORFLOW_CHATTER):
        import keras
        import tensorflow as tf

        tf.config.list_physical_devices()  # looks for a GPU now, with what it says about that
except ImportError as error:
    raise MissingExtraError("training", "train") from error

if not keras.__version__.startswith("3"):
    raise MissingExtraError(f"training with Keras 3 (found Keras {keras.__version__})", "train")
if keras.backend.backend() != "tensorflow":
    raise UsageError(
        f"Keras runs on the backend {keras.backend.backend()!r}; training here needs 'tensorflow': "
        "set the environment variable KERAS_BACKEND=tensorflow"
    )

__all__ = ["keras", "tf"]
