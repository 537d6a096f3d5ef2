"""Multi-layer perceptron of detection transformers, with a choice of its activation."""

from mmcv.cnn import build_activation_layer
from mmdet.models.layers import MLP as ReLUMLP
from torch import Tensor


class MLP(ReLUMLP):
    """mmdet's ``MLP``, whose activation is ReLU, with any activation.

    Args:
        input_dim, hidden_dim, output_dim (int): Channels of the input, of hidden layers and of the output.
        num_layers (int): Number of linear layers.
        act_cfg (dict): Activation between them. Defaults to ReLU.

    Shape: ``(..., input_dim)`` to ``(..., output_dim)``.
    """

    def __init__(
        self, input_dim: int, hidden_dim: int, output_dim: int, num_layers: int, act_cfg: dict = dict(type='ReLU')
    ):
        super().__init__(input_dim, hidden_dim, output_dim, num_layers)
        self.act = build_activation_layer(act_cfg)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers[:-1]:
            x = self.act(layer(x))
        return self.layers[-1](x)
