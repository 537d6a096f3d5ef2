"""Time and memory of models with random weights, each in a process of its own (tools/analysis_tools/benchmark.py)."""
