"""Runs models: delegates behind one small interface."""

from pocketgraph.runtime.delegate import Delegate, TensorSpec
from pocketgraph.runtime.model import RunnableModel, load_model

__all__ = ["Delegate", "RunnableModel", "TensorSpec", "load_model"]
