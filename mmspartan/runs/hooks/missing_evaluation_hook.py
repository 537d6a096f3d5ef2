"""The evaluation that an interrupted run did not finish."""

from typing import Any

from mmengine.hooks import Hook
from mmengine.registry import HOOKS

from ...checkpoints.run_state import RunState


@HOOKS.register_module()
class MissingEvaluationHook(Hook):
    """Evaluates a resumed checkpoint before the training continues, if the interrupted run did not evaluate it.

    Without this hook the evaluation would be missing, and the best checkpoint could differ from that of an
    uninterrupted run.
    """

    priority = 'LOWEST'  # after all other hooks are ready for an evaluation

    def before_train(self, runner: Any) -> None:
        # SafeCheckpointHook sets this after an evaluation, before it saves
        evaluated = RunState.of(runner.message_hub.runtime_info).evaluated_iter == runner.iter
        if runner.val_loop is not None and not evaluated and getattr(runner.train_loop, 'evaluation_is_due', bool)():
            runner.logger.info('Evaluating the resumed checkpoint first, since the interrupted run did not.')
            runner.val_loop.run()
