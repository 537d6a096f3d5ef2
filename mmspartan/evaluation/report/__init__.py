"""The report of ``tools/evaluate.py`` on a detector."""
