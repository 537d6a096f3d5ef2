"""Checkpoints of the authors' implementations and of Hugging Face, to this package and back."""
