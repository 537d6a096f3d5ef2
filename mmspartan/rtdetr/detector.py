"""RT-DETR (Zhao et al., CVPR 2024, arXiv 2304.08069) on mmdet's DETR base. Authors' code: github.com/lyuwenyu/RT-DETR
(rtdetr_pytorch, Apache-2.0).

The detector has the same steps as mmdet's DINO. It differs in three points: the encoder is the neck
(:class:`~mmspartan.rtdetr.encoder.HybridEncoder`), queries start from the selected features, and boxes are relative to
the whole input including its padding, which is not masked.
"""

import copy
import logging
from collections.abc import Callable
from typing import Any

import torch
from mmdet.models.detectors import DetectionTransformer
from mmdet.models.layers import inverse_sigmoid
from mmdet.structures import OptSampleList, SampleList
from mmengine.logging import print_log
from mmengine.registry import MODELS
from torch import Tensor, nn

from ..checks import check_flags, check_integers, check_levels, refuse, refuse_training_of_deployed
from ..nn.conv_norm_act import ConvNormAct
from ..nn.fold import fold_in_place
from ..ops.made_once import made_once
from .decoder import RTDETRTransformerDecoder
from .denoising import ContrastiveDenoising
from .encoder import HybridEncoder
from .head import RTDETRHead
from .matching import ground_truth


@MODELS.register_module()
class RTDETR(DetectionTransformer):
    """Real-time detection transformer.

    Args:
        backbone, neck (dict): Configs; the neck returns ``num_levels`` feature maps with the same number of channels.
        bbox_head (dict): Config of :class:`~mmspartan.rtdetr.head.RTDETRHead`; its ``num_classes`` is the only
            place that holds the number of classes.
        decoder (dict): Arguments of ``RTDETRTransformerDecoder``: ``num_layers`` and ``layer_cfg``.
        dn_cfg (dict, optional): Arguments of ``ContrastiveDenoising``; None, or ``num_denoising=0`` in it, trains
            without denoising.
        num_queries (int): Number of queries. Defaults to 300.
        num_levels (int): Number of the neck's feature maps. Defaults to 3.
        in_channels (int, optional): Channels of the neck's feature maps. Defaults to those of the decoder.
        xavier_init (bool): Whether feed-forward layers of the decoder and the convolutions before it start from
            Xavier-uniform weights, as in RT-DETRv2 and D-FINE, or as PyTorch makes them, as in RT-DETR. Defaults to
            False.
        deploy (bool): Build the deployed form, for weights saved after :meth:`switch_to_deploy`. Defaults to False.
        **kwargs: ``train_cfg``, ``test_cfg``, ``data_preprocessor``, ``init_cfg`` as in mmdet. An image has
            ``test_cfg.max_per_img`` detections, at most the number of pairs of query and class. Evaluation applies the
            first ``test_cfg.num_decoder_layers``, all by default: with fewer it is faster, without training anew.

    Raises:
        ValueError: If an argument is out of its range, backbone, neck, decoder and head do not match each other, or the
            deployed form is trained.
    """

    decoder_type = RTDETRTransformerDecoder
    decoder: Any  # a config until `_init_layers`
    embed_dims: int
    memory_trans_fc: nn.Module
    memory_trans_norm: nn.Module
    # a `mmspartan.runs.cuda_graphs.CudaGraphs`, where predictions run by them
    cuda_graphs: Callable[..., tuple[Tensor, ...]] | None = None

    def __init__(
        self,
        *args,
        bbox_head: dict,
        decoder: dict,
        dn_cfg: dict | None = None,
        num_queries: int = 300,
        num_levels: int = 3,
        in_channels: int | None = None,
        xavier_init: bool = False,
        deploy: bool = False,
        **kwargs,
    ):
        max_per_img = (kwargs.get('test_cfg') or {}).get('max_per_img', num_queries)
        check_integers('RTDETR', num_queries=num_queries, num_levels=num_levels)
        # the decoder is built after the head, which has a branch for each of its layers
        num_layers: Any = decoder.get('num_layers')  # checked below
        check_integers('RTDETR', **{'test_cfg.max_per_img': max_per_img, 'decoder.num_layers': num_layers})
        used = (kwargs.get('test_cfg') or {}).get('num_decoder_layers', num_layers)
        check_integers('RTDETR', 1, num_layers, **{'test_cfg.num_decoder_layers': used})
        if in_channels is not None:
            check_integers('RTDETR', in_channels=in_channels)
        check_flags('RTDETR', xavier_init=xavier_init, deploy=deploy)
        self.num_levels = num_levels
        self.in_channels = in_channels
        self.xavier_init = xavier_init
        self.is_deployed = False
        # a branch for each layer of the decoder and one for the selection of queries
        bbox_head = dict(bbox_head, num_pred_layer=num_layers + 1, share_pred_layer=False, as_two_stage=True)
        super().__init__(*args, bbox_head=bbox_head, decoder=decoder, num_queries=num_queries, **kwargs)
        self._check_fit()
        self.denoising = None
        if dn_cfg is not None:
            denoising = ContrastiveDenoising(self.bbox_head.num_classes, self.embed_dims, num_queries, **dn_cfg)
            self.denoising = denoising if denoising.num_denoising else None
        if deploy:
            self.eval().switch_to_deploy()

    def switch_to_deploy(self) -> None:
        """Fold normalization, RepVGG branches and the backbone for inference, and remove denoising.

        Outputs stay the same up to rounding. This cannot be undone: to train, build the model again and load weights
        from before.

        Raises:
            RuntimeError: If the model is in training mode.
        """
        fold_in_place(self)
        self.cuda_graphs = copy.copy(self.cuda_graphs)

    def _check_fit(self) -> None:
        """Check that the known settings of backbone, neck, decoder and head match."""
        if self.bbox_head.embed_dims != self.embed_dims:
            refuse('RTDETR', 'bbox_head.embed_dims', f'{self.embed_dims}, as of the decoder', self.bbox_head.embed_dims)
        levels = self.decoder.layers[0].cross_attn.num_levels
        if levels != self.num_levels:
            allowed = f'{self.num_levels}, the num_levels of RTDETR'
            refuse('RTDETR', 'decoder.layer_cfg.cross_attn_cfg.num_levels', allowed, levels)
        neck = getattr(self, 'neck', None)
        if not isinstance(neck, HybridEncoder):
            return
        if len(neck.in_channels) != self.num_levels:
            refuse('RTDETR', 'neck.in_channels', f'num_levels={self.num_levels} numbers', neck.in_channels)
        self._check_channels(neck)

    def _check_channels(self, neck: Any) -> None:
        """Check that a neck takes the channels of the backbone, and returns those of the decoder."""
        channels = self.in_channels or self.embed_dims
        if neck.hidden_channels != channels:
            of = 'as in_channels says' if self.in_channels else 'as embed_dims of the decoder'
            refuse('RTDETR', 'neck.hidden_channels', f'{channels}, {of}', neck.hidden_channels)
        returned = getattr(self.backbone, 'out_channels', None)  # SpaRTAN has it, as have some others
        if isinstance(returned, list | tuple) and list(neck.in_channels) != list(returned):
            allowed = f'{returned}, as the backbone returns'
            refuse('RTDETR', 'neck.in_channels', allowed, neck.in_channels)

    def predict(self, batch_inputs: Tensor, batch_data_samples: SampleList, rescale: bool = True) -> SampleList:
        if self.cuda_graphs is None or self.training:
            return super().predict(batch_inputs, batch_data_samples, rescale)
        settings = (self.num_queries, (self.test_cfg or {}).get('num_decoder_layers'))
        outs = self.cuda_graphs(self._forward, batch_inputs, settings)
        metas = [sample.metainfo for sample in batch_data_samples]
        found = self.bbox_head.predict_by_feat(*outs, metas, rescale)
        return self.add_pred_to_datasample(batch_data_samples, found)

    @property
    def is_capturable(self) -> bool:
        """Whether predictions are ``_forward`` and the head's ``predict_by_feat``, as :meth:`predict` has it."""
        found = (type(self).predict, type(self)._forward, type(self.bbox_head).predict)
        return found == (RTDETR.predict, RTDETR._forward, RTDETRHead.predict)

    def _apply(self, *args: Any, **kwargs: Any) -> 'RTDETR':
        self.cuda_graphs = copy.copy(self.cuda_graphs)  # those of before read the former weights
        return super()._apply(*args, **kwargs)

    def loss(self, batch_inputs: Tensor, batch_data_samples: SampleList) -> dict[str, Tensor]:
        refuse_training_of_deployed(self)
        return super().loss(batch_inputs, batch_data_samples)

    def parse_losses(self, losses: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the sum of the losses, and all of them for the log: mmengine's, in three operations instead of 117."""
        if not all(isinstance(loss, Tensor) and not loss.dim() for loss in losses.values()):
            return super().parse_losses(losses)
        values = torch.stack(list(losses.values())).unbind()
        terms = dict(zip(losses, values))
        total = torch.stack([loss for name, loss in terms.items() if 'loss' in name]).sum()
        return total, {'loss': total, **terms}

    def extract_feat(self, batch_inputs: Tensor) -> tuple[Tensor, ...]:
        """Return the feature maps of the neck, in the dtype of the weights, since data preprocessors return float32."""
        return super().extract_feat(batch_inputs.to(self.bbox_head.cls_branches[-1].weight.dtype))

    def _init_layers(self) -> None:
        self.decoder = self.decoder_type(post_norm_cfg=None, **self.decoder)
        self.embed_dims = self.decoder.embed_dims
        channels = self.in_channels or self.embed_dims
        self.input_convs = nn.ModuleList(
            ConvNormAct(nn.Conv2d(channels, self.embed_dims, 1, bias=False), dict(type='BN'), None)
            for _ in range(self.num_levels)
        )
        self.memory_trans_fc = nn.Linear(self.embed_dims, self.embed_dims)
        self.memory_trans_norm = nn.LayerNorm(self.embed_dims)

    def init_weights(self) -> None:
        configs = self.backbone.init_cfg
        configs = configs if isinstance(configs, list | tuple) else [configs]
        if not any(cfg and cfg['type'] == 'Pretrained' for cfg in configs):
            print_log(
                f'The backbone {type(self.backbone).__name__} starts from random weights. For weights trained on '
                "ImageNet set model.backbone.init_cfg=dict(type='Pretrained', checkpoint=..., prefix='backbone.').",
                'current',
                logging.WARNING,
            )
        layers = [self.memory_trans_fc, *self.decoder.query_pos_head.layers[:2]]
        if self.xavier_init:
            layers += [module for layer in self.decoder.layers for module in layer.ffn.modules()]
            layers += [conv.conv for conv in self.input_convs if isinstance(conv, ConvNormAct)]
        for layer in layers:
            if isinstance(layer, nn.Linear | nn.Conv2d):  # a subclass may have an identity
                nn.init.xavier_uniform_(layer.weight)
        super().init_weights()

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args, **kwargs) -> None:
        """Warn about weights for another number of classes, since mmengine skips weights of another shape."""
        self.cuda_graphs = copy.copy(self.cuda_graphs)
        scores = state_dict.get(f'{prefix}bbox_head.cls_branches.0.bias')
        if scores is not None and len(scores) != self.bbox_head.num_classes:
            print_log(
                f'The weights are of a detector of {len(scores)} classes, this one has {self.bbox_head.num_classes}: '
                'class branches and label embedding start anew, all other weights are loaded.',
                'current',
                logging.WARNING,
            )
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)

    def forward_transformer(self, img_feats: tuple[Tensor, ...], batch_data_samples: OptSampleList = None) -> dict:
        encoder_inputs_dict, decoder_inputs_dict = self.pre_transformer(img_feats, batch_data_samples)
        encoder_outputs_dict = self.forward_encoder(**encoder_inputs_dict)
        # as in DINO, pre_decoder needs the ground truth for denoising queries
        decoder_inputs, head_inputs_dict = self.pre_decoder(
            **encoder_outputs_dict, batch_data_samples=batch_data_samples
        )
        return {**head_inputs_dict, **self.forward_decoder(**decoder_inputs_dict, **decoder_inputs)}

    def pre_transformer(
        self, mlvl_feats: tuple[Tensor, ...], batch_data_samples: OptSampleList = None
    ) -> tuple[dict, dict]:
        """Project the neck's feature maps and concatenate them to one sequence.

        Args:
            mlvl_feats (tuple[Tensor]): ``(B, in_channels, H_i, W_i)`` for each level.
            batch_data_samples: Not used.

        Returns:
            tuple[dict, dict]: For :meth:`forward_encoder` ``feat`` ``(B, N, C)`` and ``shapes``, (height, width) of
            each level; for :meth:`forward_decoder` the shapes as numbers and tensors.
        """
        check_levels('RTDETR', self.input_convs, mlvl_feats)
        feats = [conv(feat) for conv, feat in zip(self.input_convs, mlvl_feats)]
        shapes = [tuple(feat.shape[-2:]) for feat in feats]
        feat = torch.cat([feat.flatten(2).transpose(1, 2) for feat in feats], dim=1)
        spatial_shapes, level_start_index = self.describe_levels(tuple(shapes), feat.device)
        decoder_inputs_dict = dict(spatial_shapes=spatial_shapes, level_start_index=level_start_index, shapes=shapes)
        return dict(feat=feat, shapes=shapes), decoder_inputs_dict

    def forward_encoder(self, feat: Tensor, shapes: list[tuple[int, int]]) -> dict:
        """Return the features as they are, since the neck is the encoder."""
        return dict(memory=feat, shapes=shapes)

    def pre_decoder(
        self, memory: Tensor, shapes: list[tuple[int, int]], batch_data_samples: OptSampleList = None
    ) -> tuple[dict, dict]:
        """Select the features with the highest class scores as queries; in training, prepend denoising queries.

        Args:
            memory (Tensor): ``(B, N, C)``.
            shapes (list[tuple[int, int]]): Height and width of each level.
            batch_data_samples: Data samples with ground truth, for training.

        Returns:
            tuple[dict, dict]: For :meth:`forward_decoder` ``query`` ``(B, Q, C)``, ``reference_points`` ``(B, Q, 4)``,
            ``memory`` and ``dn_mask``; in training for the head ``enc_outputs_class`` and ``enc_outputs_coord`` of the
            selected features, and ``dn_meta``.

        Raises:
            ValueError: If there are fewer features than queries.
        """
        anchors, valid = self.generate_anchors(tuple(shapes), memory.device)
        output_memory = self.memory_trans_norm(self.memory_trans_fc(memory * valid))
        scores = self.bbox_head.cls_branches[-1](output_memory)
        if scores.shape[1] < self.num_queries:
            raise ValueError(
                f'RTDETR: the input is too small: its features have {scores.shape[1]} positions, fewer than '
                f'num_queries={self.num_queries}'
            )
        indices = scores.amax(-1).topk(self.num_queries, dim=1).indices[..., None]
        query = output_memory.gather(1, indices.expand(-1, -1, output_memory.shape[-1]))
        anchors = anchors.expand(scores.shape[0], -1, -1).gather(1, indices.expand(-1, -1, 4))
        coords = self.bbox_head.reg_branches[-1](query) + anchors  # before the sigmoid
        query, reference = query.detach(), coords.detach()
        dn_mask = dn_meta = None
        if self.training and self.denoising is not None:
            objects = ground_truth(batch_data_samples)
            noisy = self.denoising(objects.labels, objects.boxes)
            if noisy is not None:
                dn_query, dn_reference, dn_mask, dn_meta = noisy
                query = torch.cat([dn_query.to(query.dtype), query], dim=1)
                reference = torch.cat([dn_reference.to(reference.dtype), reference], dim=1)
            else:
                # the embedding has to be in the graph without objects as well, or DDP waits for its gradient
                query = query + 0.0 * self.denoising.label_embedding.weight.sum()

        decoder_inputs_dict = dict(query=query, memory=memory, reference_points=reference.sigmoid(), dn_mask=dn_mask)
        if not self.training:
            return decoder_inputs_dict, {}
        enc_scores = scores.gather(1, indices.expand(-1, -1, scores.shape[-1]))
        head_inputs_dict = dict(enc_outputs_class=enc_scores, enc_outputs_coord=coords.sigmoid(), dn_meta=dn_meta)
        return decoder_inputs_dict, head_inputs_dict

    def forward_decoder(
        self, query: Tensor, memory: Tensor, reference_points: Tensor, dn_mask: Tensor | None = None, **levels: Any
    ) -> dict:
        return self.decoder(
            query=query,
            value=memory,
            reference_points=reference_points,
            self_attn_mask=dn_mask,
            head=self.bbox_head,
            num_layers=(self.test_cfg or {}).get('num_decoder_layers'),
            **levels,
        )

    @staticmethod
    @made_once
    def describe_levels(shapes: tuple[tuple[int, int], ...], device: torch.device) -> tuple[Tensor, Tensor]:
        """Return heights and widths ``(L, 2)`` and the indices of the levels' first features ``(L,)`` as tensors."""
        sizes = [height * width for height, width in shapes]
        starts = [sum(sizes[:i]) for i in range(len(sizes))]
        spatial_shapes, level_start_index = torch.tensor(shapes), torch.tensor(starts)
        return spatial_shapes.to(device, non_blocking=True), level_start_index.to(device, non_blocking=True)

    @staticmethod
    @made_once
    def generate_anchors(
        shapes: tuple[tuple[int, int], ...], device: torch.device, size: float = 0.05
    ) -> tuple[Tensor, Tensor]:
        """Generate the boxes from which query selection starts, one for each feature, with sides ``size * 2 ** level``.

        Args:
            shapes (tuple[tuple[int, int]]): Height and width of each level.
            device (torch.device): Device of the result.
            size (float): Side of the finest level's boxes, relative to the image.

        Returns:
            tuple[Tensor, Tensor]: Boxes (cx, cy, w, h) before the sigmoid ``(1, N, 4)``, infinite where not valid, and
            ``(1, N, 1)``, true where all coordinates of a box are within (0.01, 0.99).
        """
        levels = []
        dtype = torch.float32  # as in the authors' code, whatever the precision of the network
        for level, (height, width) in enumerate(shapes):
            y = (torch.arange(height, device=device, dtype=dtype) + 0.5) / height
            x = (torch.arange(width, device=device, dtype=dtype) + 0.5) / width
            y, x = torch.meshgrid(y, x, indexing='ij')
            side = torch.full_like(x, size * 2**level)
            levels.append(torch.stack([x, y, side, side], dim=-1).flatten(0, 1))
        anchors = torch.cat(levels)[None]
        valid = ((anchors > 0.01) & (anchors < 0.99)).all(-1, keepdim=True)
        return torch.where(valid, inverse_sigmoid(anchors), torch.inf), valid
