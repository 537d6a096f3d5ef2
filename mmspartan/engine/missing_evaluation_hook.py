"""The evaluation that a killed run did not finish comes first when the training is resumed."""

from typing import Any

from mmengine.hooks import Hook
from mmengine.registry import HOOKS


@HOOKS.register_module()
class MissingEvaluationHook(Hook):
    """Evaluates before the training goes on, if it was resumed where an evaluation is due that had not ended.

    Without it, that evaluation would be left out, and the best checkpoint be another than that of an unbroken run.
    """

    priority = 'LOWEST'  # when all other hooks are ready for an evaluation

    def before_train(self, runner: Any) -> None:
        # which SafeCheckpointHook notes before it saves
        evaluated = runner.message_hub.runtime_info.get('evaluated_iter') == runner.iter
        if runner.val_loop is not None and not evaluated and getattr(runner.train_loop, 'evaluation_is_due', bool)():
            runner.logger.info('The evaluation of the checkpoint that was resumed comes first: it had not ended.')
            runner.val_loop.run()
