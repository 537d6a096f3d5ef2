"""Return to the best checkpoint of a training, with which D-FINE's and DEIM's authors begin the last stage.

Weights and averaged weights return. The authors restore the optimizer too, whose state is not in checkpoints of the
best score.
"""

from pathlib import Path
from typing import Any

from mmengine.dist import broadcast, broadcast_object_list, is_main_process
from mmengine.hooks import EMAHook

from ...checkpoints.checkpoint import read_checkpoint, without_wrappers
from .checkpoint_hook import SafeCheckpointHook


def load_best(runner: Any) -> None:
    """Load the weights of the best checkpoint so far into the model and its average; without one, warn.

    A score of 0 is none: the first of such checkpoints counts as the best, and the later ones have learned more. The
    main process reads the file, which others may not have on their disks.
    """
    saving = next((hook for hook in runner.hooks if isinstance(hook, SafeCheckpointHook)), None)
    path = (saving and saving.best_path) or ''
    found = [saving is not None and Path(path).is_file() and saving.best_score(runner) != 0]
    broadcast_object_list(found)
    if not found[0]:
        runner.logger.warning(
            f'The last stage should begin with the best checkpoint, but there is none with another score than 0 '
            f'({path or "nothing saved yet"}): it continues with the weights of the epoch before.'
        )
        return
    model = without_wrappers(runner.model)
    averages = [hook for hook in runner.hooks if isinstance(hook, EMAHook)]
    if is_main_process():
        checkpoint = read_checkpoint(path)
        for hook in averages:
            if 'ema_state_dict' in checkpoint:
                hook._swap_ema_state_dict(checkpoint)  # the checkpoint's state_dict is the average
                hook.ema_model.load_state_dict(checkpoint['ema_state_dict'])
            else:  # it was saved before there was an average
                hook.ema_model.module.load_state_dict(checkpoint['state_dict'])
        model.load_state_dict(checkpoint['state_dict'])
    for module in (model, *(hook.ema_model for hook in averages)):
        for value in module.state_dict().values():
            broadcast(value)
    runner.logger.info(f'The last stage begins with the weights of {path}')
