"""What a resume needs besides mmengine's counters: entries of ``runtime_info`` in the message hub of a checkpoint."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from mmengine.logging import MessageHub


@dataclass
class RunState:
    """Position and seeds of a run; None where a checkpoint of a stock mmengine does not have them.

    Attributes:
        sampler_seed: Of the sampler of the training, from which its batches follow.
        epoch_length: Batches of an epoch.
        epoch_began: Epoch that was trained last, from 0, and its first iteration.
        evaluated_iter: Iterations before the last evaluation that was finished.
    """

    sampler_seed: int | None = None
    epoch_length: int | None = None
    epoch_began: tuple[int, int] | None = None
    evaluated_iter: int | None = None

    @classmethod
    def of(cls, runtime_info: Mapping[str, Any]) -> 'RunState':
        """Read the entries of a message hub."""
        return cls(**{field.name: runtime_info.get(field.name) for field in fields(cls)})

    def note(self, hub: MessageHub) -> None:
        """Write what is known into a message hub, which checkpoints save."""
        for name, value in asdict(self).items():
            if value is not None:
                hub.update_info(name, value)
