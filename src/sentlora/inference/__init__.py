"""Inference: texts in, scores out."""
