"""Head of D-FINE (arXiv 2410.13842): quality of a box from its distributions, and their losses.

The losses of RT-DETR, of which those of boxes take the pairs of all layers' matchings, and two for the distributions
(GO-LSD, Sec. 4.2): fine-grained localization (FGL) of matched queries, and distillation (DDF) of all queries from the
last layer to those before. Authors' code: github.com/Peterande/D-FINE, Apache-2.0.

Differs from the authors' code in two points: losses that are not finite are not replaced by 0, and pairs that are
equally frequent in the matchings are taken in the order of queries and objects, not in one of the sorting algorithm.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from mmengine.registry import MODELS
from torch import Tensor, nn
from torch.nn.functional import log_softmax

from ..checks import check_flags, check_numbers
from ..nn.mlp import MLP
from ..rtdetr.head import RTDETRHead
from ..rtdetr.matching import Layers, MatchedBoxes, names_of_layers
from .distribution import EdgeDistribution


@dataclass(frozen=True)
class DistributionLayers(Layers):
    """Predictions of decoder layers, of which the first ones have distributions.

    Attributes:
        edges (Tensor): Logits of the distributions, ``(layers, B, Q, 4 * (num_bins + 1))``; fewer layers than there are
            ``logits``.
        reference (Tensor): The boxes (cx, cy, w, h) to which the distributions refer, ``(B, Q, 4)``.
    """

    edges: Tensor
    reference: Tensor


class QualityBranch(nn.Module):
    """Location quality estimator (LQE): adds to the class scores what the shape of the distributions says.

    Args:
        hidden_channels (int): Channels of its hidden layer.
        act_cfg (dict): Activation of it.
        most (int): Number of a distribution's largest probabilities that it reads, in addition to their mean.
    """

    def __init__(self, hidden_channels: int = 64, act_cfg: dict = dict(type='ReLU'), most: int = 4):
        super().__init__()
        self.most = most
        self.mlp = MLP(4 * (most + 1), hidden_channels, 1, 2, act_cfg)

    def forward(self, edges: Tensor) -> Tensor:
        """Return the quality ``(..., 1)`` of distributions with the logits ``(..., 4 * (num_bins + 1))``."""
        largest = edges.unflatten(-1, (4, -1)).softmax(-1).topk(self.most, dim=-1).values
        return self.mlp(torch.cat([largest, largest.mean(-1, keepdim=True)], dim=-1).flatten(-2))


@MODELS.register_module()
class DFINEHead(RTDETRHead):
    """RT-DETR's head with distributions instead of boxes.

    Args:
        *args, **kwargs: Arguments of :class:`~mmspartan.rtdetr.head.RTDETRHead`.
        distribution (dict): Arguments of :class:`~mmspartan.dfine.distribution.EdgeDistribution`.
        fgl_weight, ddf_weight (float): Weights of the distributions' losses, at least 0. Default to 0.15 and 1.5. With
            both 0 the distributions have no losses of their own, and each layer's boxes are compared with its own
            matches, as in DEIMv2's smallest sizes.
        temperature (float): Temperature of the distillation. Defaults to 5.
        share_reg_branches (bool): Whether all decoder layers have one branch of distributions, as in DEIMv2's smallest
            sizes. Defaults to False.

    Raises:
        ValueError: If an argument is out of its range.
    """

    _roots: list[float]  # of the numbers of the detector's queries with and without an object, in this step

    def __init__(
        self,
        *args: Any,
        distribution: Mapping[str, Any] = {},
        fgl_weight: float = 0.15,
        ddf_weight: float = 1.5,
        temperature: float = 5.0,
        share_reg_branches: bool = False,
        **kwargs: Any,
    ):
        check_numbers('DFINEHead', '[0, inf)', fgl_weight=fgl_weight, ddf_weight=ddf_weight)
        check_numbers('DFINEHead', '(0, inf)', temperature=temperature)
        check_flags('DFINEHead', share_reg_branches=share_reg_branches)
        self.distribution = EdgeDistribution(**distribution)
        self.fgl_weight, self.ddf_weight, self.temperature = fgl_weight, ddf_weight, temperature
        self.share_reg_branches = share_reg_branches
        super().__init__(*args, **kwargs)

    def _init_layers(self) -> None:
        super()._init_layers()
        layers = range(self.num_pred_layer - 1)  # the last branch selects queries
        edges = 4 * (self.distribution.num_bins + 1)
        branches = [self._reg_branch(edges) for _ in layers]
        if self.share_reg_branches:
            branches = branches[:1] * len(branches)
        self.reg_branches = nn.ModuleList([*branches, self.reg_branches[-1]])
        self.initial_reg_branch = self._reg_branch(4)
        self.quality_branches = nn.ModuleList(QualityBranch(act_cfg=self.act_cfg) for _ in layers)

    def init_weights(self) -> None:
        super().init_weights()
        branches: Any = self.quality_branches
        last = [branch.mlp.layers[-1] for branch in branches] + [self.initial_reg_branch[-1]]
        for layer in last:
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(  # type: ignore[override] # other outputs of the decoder
        self, hidden_states: Tensor, boxes: Tensor, edges: Tensor, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        """Predict logits of decoder layers.

        Args:
            hidden_states (Tensor): Outputs of all decoder layers or of the last one, ``(layers, B, Q, C)``.
            boxes (Tensor): Boxes of these layers, ``(layers, B, Q, 4)``.
            edges (Tensor): Logits of their distributions, ``(layers, B, Q, 4 * (num_bins + 1))``.

        Returns:
            tuple[Tensor, Tensor]: Logits ``(layers, B, Q, num_classes)``, and the boxes.
        """
        last = self.last_layer()
        first = last - len(hidden_states)
        scores = [branch(hidden) for branch, hidden in zip(self.cls_branches[first:last], hidden_states)]
        qualities = [branch(logits) for branch, logits in zip(self.quality_branches[first:last], edges)]
        return torch.stack(scores) + torch.stack(qualities), boxes

    def predict_layers(  # type: ignore[override] # other outputs of the decoder
        self, hidden_states: Tensor, boxes: Tensor, edges: Tensor, initial_boxes: Tensor
    ) -> Layers:
        logits, boxes = self(hidden_states, boxes, edges)
        dtype = torch.promote_types(logits.dtype, torch.float32)
        names = names_of_layers(len(hidden_states))
        tensors = [x.to(dtype) for x in (logits, boxes, edges, initial_boxes.detach())]
        return DistributionLayers(names, *tensors).append('pre_', self.cls_branches[0](hidden_states[0]), initial_boxes)

    def match_boxes(self, pairs: list[np.ndarray]) -> list[np.ndarray]:
        """Return the union of all layers' pairs, for each layer; a query has the object that most layers give it.

        Without losses of distributions, return each layer's own pairs.
        """
        if not self.fgl_weight and not self.ddf_weight:
            return pairs
        found, counts = np.unique(np.concatenate(pairs, axis=1), axis=1, return_counts=True)
        found = found[:, np.argsort(-counts, kind='stable')]
        first = np.unique(found[:2], axis=1, return_index=True)[1]
        return [found[:, first]] * len(pairs)

    def terms_by_match(self, layers: Layers, matched: MatchedBoxes, box_matched: MatchedBoxes, *args: Any) -> dict:
        """Return in addition the FGL loss of layers with distributions, and the DDF loss of these but the last."""
        assert isinstance(layers, DistributionLayers)
        *_, box_avg_factor = args
        terms = super().terms_by_match(layers, matched, box_matched, *args)
        if not self.fgl_weight and not self.ddf_weight:
            return terms
        count = len(layers.edges)
        num_pairs = box_matched.matches.counts[0]  # each layer has the same pairs
        image, query = (index[:num_pairs] for index in box_matched.matches.predictions[1:])
        ious = box_matched.ious.view(len(layers.names), num_pairs)[:count]  # (count, num_pairs)

        edges = layers.edges.unflatten(-1, (4, -1))  # (count, B, Q, 4, num_bins + 1)
        left, position = self.distribution.targets(layers.reference[image, query], box_matched.target[:num_pairs])
        logs = log_softmax(edges[:, image, query], dim=-1)
        at_left, at_right = (logs.gather(-1, i.expand(count, -1, -1)[..., None])[..., 0] for i in (left, left + 1))
        fgl = -(at_left * (1 - position) + at_right * position) * ious[..., None]
        terms['loss_fgl'] = self.fgl_weight * fgl.sum((1, 2)) / box_avg_factor
        if count > 1:
            terms['loss_ddf'] = self.ddf_weight * self.distillation(layers, edges, image, query, ious[:-1])
        return terms

    def distillation(self, layers: Layers, edges: Tensor, image: Tensor, query: Tensor, ious: Tensor) -> Tensor:
        """Return the DDF loss of all layers but the last, ``(layers - 1,)`` (Eq. 7).

        Args:
            layers (Layers): Predictions; the best score of the last layer weights queries without an object.
            edges (Tensor): Logits ``(layers, B, Q, 4, num_bins + 1)``.
            image, query (Tensor): Indices of the matched queries, ``(M,)``.
            ious (Tensor): Overlap of each match in these layers, its weight, ``(layers - 1, M)``.
        """
        student = log_softmax(edges[:-1] / self.temperature, dim=-1)
        teacher = log_softmax(edges[-1].detach() / self.temperature, dim=-1)
        divergence = (teacher.exp() * (teacher - student)).sum(-1).mean(-1)  # (layers - 1, B, Q)
        scores = layers.logits[len(edges) - 1].detach().sigmoid().amax(-1)  # (B, Q)

        # the means of queries with and without an object, weighted by the roots of the detector's numbers of them
        numbers = (len(query), scores.numel() - len(query))
        if not layers.is_denoising:
            self._roots = [number**0.5 for number in numbers]
        with_object, without = (root / sum(self._roots) / max(1, number) for root, number in zip(self._roots, numbers))
        weights = (scores * without).expand_as(divergence).clone()
        weights[:, image, query] = ious * with_object
        return self.temperature**2 * (weights * divergence).sum((1, 2))
