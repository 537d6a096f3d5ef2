"""Models that the tools of the paper's figures have in common."""

import argparse
from collections import Counter
from pathlib import Path

import torch

from ..commands.command import blame
from ..commands.launch import read_config
from .subject import Subject


def load_subject(config: str, checkpoint: str, device: str | None) -> Subject:
    """Load a model, by default to a GPU if there is one; an InputError names file and entry if that fails."""
    cfg = read_config(config)
    with blame(config, cfg):
        return Subject(cfg, checkpoint, device or ('cuda' if torch.cuda.is_available() else 'cpu'))


def load_subjects(args: argparse.Namespace) -> list[Subject]:
    """Load the models of the arguments. Those of one config get the name of their checkpoint as well."""
    chosen = [(args.config, args.checkpoint), *args.compare]
    subjects = [load_subject(config, checkpoint, args.device) for config, checkpoint in chosen]
    count = Counter(subject.name for subject in subjects)
    for subject, (_, checkpoint) in zip(subjects, chosen):
        if count[subject.name] > 1:
            subject.name += f' {Path(checkpoint).stem}'
    return subjects
