"""Training and evaluation with simulated quantization, see :mod:`mmspartan.nn.fake_quant`."""

from typing import Any

from mmengine.hooks import EMAHook, Hook
from mmengine.registry import HOOKS

from ...checkpoints.checkpoint import without_wrappers
from ...checks import check_integers
from ...errors import InputError
from ...nn.fake_quant import BUFFERS, bits_of, insert_quantizers, pop_quantizers

KEY = 'fake_quant'  # of the state of the quantizers in checkpoints


@HOOKS.register_module()
class FakeQuantHook(Hook):
    """Rounds inputs and weights of convolutions and linear layers in training, validation and test.

    Weights in checkpoints are those that are not rounded, under the names of the model without quantizers: tools load,
    export and quantize them like any other. The ranges of inputs are entries of their own, which ``compress.py
    quantize`` writes, and do not change in training.

    Args:
        weight_bits (int): Bits of weights, 2 to 8. Inputs have 8. Defaults to 8.
        keep (str): Regular expression of the names of modules that stay in floating point, besides heads and
            ``sampling_offsets``. None by default.
        keep_8bit (str): Of modules whose weights have 8 bits, if ``weight_bits`` is less.

    Raises:
        InputError: If an argument is invalid, the model is not folded for inference, the checkpoint has no ranges,
            or an ``EMAHook`` averages weights.
    """

    def __init__(self, weight_bits: int = 8, keep: str = '', keep_8bit: str = ''):
        check_integers('FakeQuantHook', 2, 8, weight_bits=weight_bits)
        self.bits = bits_of(weight_bits, keep, keep_8bit)
        self.ranges: dict[str, Any] = {}

    def after_load_checkpoint(self, runner: Any, checkpoint: dict) -> None:
        if KEY not in checkpoint:
            raise InputError(
                'FakeQuantHook: the checkpoint has no ranges of inputs: make it by tools/compress.py quantize'
            )
        self.ranges = checkpoint[KEY]

    def before_train(self, runner: Any) -> None:
        model = without_wrappers(runner.model)
        if any(getattr(module, 'is_fake_quantized', False) for module in model.modules()):
            return
        if not any(getattr(module, 'is_deployed', False) for module in model.modules()):
            raise InputError('FakeQuantHook: the model must be folded for inference (deploy=True), got one that is not')
        if any(isinstance(hook, EMAHook) for hook in runner.hooks):
            raise InputError('FakeQuantHook: weights cannot be averaged meanwhile: leave EMAHook out of custom_hooks')
        if not self.ranges:
            raise InputError(
                'FakeQuantHook: no checkpoint is loaded: set load_from to that of tools/compress.py quantize'
            )
        insert_quantizers(model, self.bits)
        expected = {name for name in model.state_dict() if BUFFERS.search(name)}
        if expected != self.ranges.keys():
            raise InputError(
                f'FakeQuantHook: keep chooses {len(expected)} ranges and the checkpoint has {len(self.ranges)}; give '
                'the options with which tools/compress.py quantize made it'
            )
        model.load_state_dict(self.ranges, strict=False)

    before_val = before_test = before_train

    def before_save_checkpoint(self, runner: Any, checkpoint: dict) -> None:
        checkpoint[KEY] = pop_quantizers(checkpoint['state_dict'])
