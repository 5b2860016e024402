"""Pruning: one design (masks, distributions, patterns), driven once after training or while training."""
