"""Runs models: delegates behind one small interface."""
