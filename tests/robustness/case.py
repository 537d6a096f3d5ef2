"""One mutated input: the command that reads it, and what the command has to make of it."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

from .children import copy_links

# What a mutation may expect:
# - refused: whatever is printed, an exit code of 0 is wrong.
# - same: the result is that of the reference; a refusal is wrong.
# - either: one of both. For what may be harmless, such as a flipped byte that nothing reads.
# - reported: a refusal, or the result of the reference, or another one and a report on the mutated entry.
# - any: a refusal, or any result.
EXPECTED = ('refused', 'same', 'either', 'reported', 'any')

_METRICS = ['--out', 'metrics.json']
_DETECTOR = ['detector.py', 'detector.pth']
_TEST = ['--work-dir', 'work', *_METRICS, '--out-item', 'metrics']
_TRAIN = ['train.py', 'detector.py', '--work-dir', 'work']

# Scripts below `tools/` with arguments that suit the sound inputs.
COMMANDS = {
    'test': ['test.py', *_DETECTOR, *_TEST],
    'test classifier': ['test.py', 'classifier.py', 'classifier.pth', *_TEST],
    'test dfine': ['test.py', 'dfine.py', 'dfine.pth', *_TEST],
    'train': [*_TRAIN, '--cfg-options', 'train_cfg.max_epochs=1'],
    'train dfine': ['train.py', 'dfine.py', '--work-dir', 'work', '--cfg-options', 'train_cfg.max_epochs=1'],
    'resume': [*_TRAIN, '--resume', 'resumable.pth'],
    'load_from': [*_TRAIN, '--cfg-options', 'train_cfg.max_epochs=1', 'load_from=detector.pth'],
    'demo': ['image_demo.py', 'digits/val/00002.png', *_DETECTOR],
    'demo folder': ['image_demo.py', 'digits/val', *_DETECTOR],
    'demo tree': ['image_demo.py', 'tree', *_DETECTOR],
    'demo video': ['image_demo.py', 'film.avi', *_DETECTOR],
    'evaluate': ['evaluate.py', 'detector.py', '--predictions', 'predictions.json', '--out', 'report', '--worst', '1'],
    'prepare': ['prepare_dataset.py', '--out', 'mine', '--base', 'rtdetr_spartan_xt_digits', '--no-plan'],
    'deploy': ['deploy_test.py', 'detector.py', 'detector.onnx', *_METRICS],
    'deploy openvino': ['deploy_test.py', 'detector.py', 'detector.onnx', '--backend', 'openvino', *_METRICS],
    'deploy dfine': ['deploy_test.py', 'dfine.py', 'dfine.onnx', *_METRICS],
    'deploy classifier': ['deploy_test.py', 'classifier.py', 'classifier.onnx', *_METRICS],
    'convert rtdetr': ['model_converters/rtdetr_to_mmdet.py', 'rtdetr_authors.pth', 'written.pth'],
    'convert dfine': ['model_converters/rtdetr_to_mmdet.py', 'dfine_authors.pth', 'written.pth'],
    'convert spartan': ['model_converters/spartan_to_mmpretrain.py', 'spartan_authors.pth', 'written.pth'],
    'fold': ['model_converters/reparameterize_model.py', *_DETECTOR, 'written.pth'],
    'fold dfine': ['model_converters/reparameterize_model.py', 'dfine.py', 'dfine.pth', 'written.pth'],
    'publish': ['misc/publish_model.py', 'detector.pth', 'written.pth'],
}


@dataclass
class Case:
    """
    Attributes:
        mutation: What was done to the input.
        command: Key of :data:`COMMANDS`.
        expected: One of :data:`EXPECTED`.
        names: The last line of a refusal has one of these: the mutated file, or an option.
        entries: Words by which the mutated entry is known: an error of Python's own ("TypeError: ...") is clear only if
            the line has one of them, and so is a report on it.
        report: Text that has to be in the output if the exit code is 0.
        options: More arguments.
    """

    mutation: str
    command: str
    expected: str
    names: list[str]
    entries: list[str] = field(default_factory=list)
    report: str = ''
    options: list[str] = field(default_factory=list)

    def __post_init__(self):
        assert self.expected in EXPECTED, self.expected

    @property
    def argv(self) -> list[str]:
        return [*COMMANDS[self.command], *self.options]

    def write(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self)))

    @classmethod
    def read(cls, path: Path) -> 'Case':
        return cls(**json.loads(path.read_text()))


class Bench:
    """Where an input is mutated.

    ``mutated`` is a copy of the sound inputs. ``reference`` is another one, made when it is first asked for: what the
    mutated input has to amount to, for instance the annotation file without the object that has to be left out.
    Without it, the reference is the sound input.
    """

    def __init__(self, sound: Path, folder: Path):
        self.sound, self.folder = sound, folder
        copy_links(sound, self.mutated)

    @property
    def mutated(self) -> Path:
        return self.folder / 'mutated'

    @property
    def reference(self) -> Path:
        path = self.folder / 'reference'
        if not path.exists():
            copy_links(self.sound, path)
        return path


def replace(path: Path, content: bytes | str) -> None:
    """Write a file anew; it may be a hard link to a sound input."""
    path.unlink(missing_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
