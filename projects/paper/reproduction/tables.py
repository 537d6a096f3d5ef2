"""The paper's Tables II to VIII as published, and the config of each row. Nothing here was measured."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Args:
        title: Heading, with the unit.
        digits: Digits behind the point of a figure of this package.
        scale: What a figure in base units is divided by.
        metric: Name in the log of a training of what a trained column holds; None where it needs no training.
    """

    title: str
    digits: int
    scale: float = 1.0
    metric: str | None = None


COLUMNS = {
    'parameters': Column('parameters (M)', 2, 1e6),
    'flops': Column('FLOPs (G)', 3, 1e9),
    'macs': Column('MACs (M)', 1, 1e6),
    'memory': Column('memory (MB)', 1, 1e6),
    'throughput': Column('images/s', 1),
    'top1': Column('top-1 (%)', 1, metric='accuracy/top1'),
    'ap': Column('AP', 1, 0.01, metric='coco/bbox_mAP'),
    'ap50': Column('AP50', 1, 0.01, metric='coco/bbox_mAP_50'),
    'ap75': Column('AP75', 1, 0.01, metric='coco/bbox_mAP_75'),
    'ap_s': Column('AP-S', 1, 0.01, metric='coco/bbox_mAP_s'),
    'ap_m': Column('AP-M', 1, 0.01, metric='coco/bbox_mAP_m'),
    'ap_l': Column('AP-L', 1, 0.01, metric='coco/bbox_mAP_l'),
}


@dataclass(frozen=True)
class Row:
    """A row of a table.

    Args:
        name: As in the paper.
        config: Name of the config, see :mod:`.configs`.
        published: Figures by column, as printed in the paper.
        why: For a column, why this package's count differs by more than 2 %.
        size: Height and width of the image that FLOPs and memory are counted for; that of the tests if None.
        doubled: Whether a multiply-add counts as two FLOPs, and element-wise operations as one.
    """

    name: str
    config: str
    published: Mapping[str, str]
    why: Mapping[str, str] = field(default_factory=dict)
    size: tuple[int, int] | None = None
    doubled: bool = False


@dataclass(frozen=True)
class Table:
    """A table of the paper.

    Args:
        number: Its number as an integer.
        title: As in the paper.
        rows: In the paper's order.
        note: What a reader of the whole table needs to know.
    """

    number: int
    title: str
    rows: tuple[Row, ...]
    note: str = ''

    @property
    def columns(self) -> list[str]:
        """Columns that the paper prints, and the memory, which it does not."""
        printed = {column for row in self.rows for column in row.published}
        return [column for column in COLUMNS if column in printed | {'parameters', 'flops', 'memory'}]

    @property
    def score(self) -> str:
        """The column of the accuracy."""
        return 'ap' if 'ap' in self.columns else 'top1'


def _figures(columns: str, figures: str) -> dict[str, str]:
    return dict(zip(columns.split(), figures.split()))


def _classifier(name: str, config: str, figures: str, **why: str) -> Row:
    return Row(name, config, _figures('parameters flops top1', figures), why)


def _detector(name: str, config: str, figures: str, **options) -> Row:
    return Row(name, config, _figures('parameters flops ap ap50 ap75 ap_s ap_m ap_l', figures), **options)


def _ablation(name: str, config: str, top1: str) -> Row:
    return Row(name, f'ablations/{config}', dict(top1=top1))


# Reasons of differences, each a phrase that follows "FLOPs (G) of NAME:".
NO_ATTENTION = (
    "mmengine does not count the two products of torch's attention, here 0.164 G; with them the count is 1.08 G"
)
REST_OF_FLOPS = (
    'the convolutions and products alone, the MACs of Table VIII, agree to 0.1 M; the published FLOPs exceed them by '
    '26 to 31 M, normalizations are 13 M, and the rest is unknown'
)
UNSELECTED = (
    'the published FLOPs include 2.1 G for boxes of features that are not selected, which are not computed here'
)
CLASSES = 'a head of 200 classes instead of 1000 has 2.07 M and 2.10 M; whether the paper had one is unknown'
TWO_STAGES = 'the published parameters are those of the form with one stage, the AP that of two stages'
WIDE_ENCODER = (
    'the published parameters need feed-forward networks of 2048 channels, which add 54 G to Deformable-DETR; why the '
    'published FLOPs of the two differ by 22 G alone is unknown'
)

TABLES = (
    Table(
        2,
        'ImageNet-1K Classification Results',
        (
            _classifier('ResNet-18', 'peers/resnet18_in1k', '11.7 1.80 71.5'),
            _classifier('DeiT-T', 'peers/deit_t_in1k', '5.7 1.08 74.1'),
            _classifier(
                'PVT-T',
                'peers/pvt_t_in1k',
                '13.2 1.60 75.1',
                flops="PVT's own paper prints 1.9 G; the source of 1.60 is unknown",
            ),
            _classifier('ViT-C', 'peers/vit_c_1gf_in1k', '4.6 1.10 75.3', flops=NO_ATTENTION),
            _classifier('VAN-B0', 'peers/van_b0_in1k', '4.1 0.88 75.4'),
            _classifier(
                'EfficientFormerv2',
                'peers/efficientformerv2_s0_in1k',
                '3.6 0.42 75.7',
                flops="EfficientFormerV2's own paper prints 0.40 G; the source of 0.42 is unknown",
            ),
            _classifier('MobileOne-S1', 'peers/mobileone_s1_in1k', '4.8 0.83 75.9'),
            _classifier(
                'EfficientNet-B0',
                'peers/efficientnet_b0_in1k',
                '5.3 0.39 77.1',
                flops='0.39 G are its convolutions and products alone; normalizations and pooling add 0.016 G',
            ),
            _classifier('MogaNet-XT, 256 pixels', 'peers/moganet_xt_256_in1k', '3.0 1.04 77.2'),
            _classifier(
                'Swin-1G',
                'peers/swin_1g_in1k',
                '7.3 1.00 77.3',
                flops='its widths are unknown; half of those of Swin-T have the published parameters, not the FLOPs',
            ),
            _classifier(
                'ConvNeXt-XT',
                'peers/convnext_xt_in1k',
                '7.4 0.60 77.5',
                flops='ParC-Net prints 0.6 G for these widths, which have a quarter of the 4.5 G of ConvNeXt-T; how it '
                'was counted is unknown',
            ),
            _classifier('SpaRTAN-XT', 'spartan_xt_in1k', '2.2 0.64 73.9'),
            _classifier('SpaRTAN-XT, 256 pixels', 'spartan_xt_256_in1k', '2.2 0.83 74.4'),
            _classifier('SpaRTAN-T', 'spartan_t_in1k', '3.8 0.83 77.1'),
            _classifier('SpaRTAN-T, 256 pixels', 'spartan_t_256_in1k', '3.8 1.08 77.7'),
        ),
    ),
    Table(
        3,
        'COCO 2017 Object Detection Results',
        (
            _detector(
                'Deformable-DETR ResNet-50',
                'peers/deformable_detr_r50_coco',
                '40.0 173.00 46.2 65.2 50.0 28.8 49.2 61.7',
                why=dict(parameters=TWO_STAGES),
                size=(800, 1067),
            ),
            _detector(
                'RT-DETR ResNet-18',
                'rtdetr_r18vd_coco',
                '20.2 61.20 46.4 63.7 50.3 28.4 49.7 63.0',
                why=dict(flops=UNSELECTED),
                doubled=True,
            ),
            _detector(
                'DAB-Deformable-DETR ResNet-50',
                'peers/dab_deformable_detr_r50_coco',
                '48.0 195.00 46.9 66.0 50.8 30.1 50.4 62.5',
                why=dict(flops=WIDE_ENCODER),
                size=(800, 1067),
            ),
            _detector(
                'DN-Deformable-DETR ResNet-50',
                'peers/dn_deformable_detr_r50_coco',
                '48.0 195.00 48.6 67.4 52.7 31.0 52.0 63.7',
                why=dict(flops=WIDE_ENCODER),
                size=(800, 1067),
            ),
            _detector(
                'RT-DETR ResNet-34',
                'rtdetr_r34vd_coco',
                '31.4 93.30 48.8 66.7 52.6 30.5 52.2 66.0',
                why=dict(flops=UNSELECTED),
                doubled=True,
            ),
            _detector(
                'RT-DETR SpaRTAN-XT',
                'rtdetr_spartan_xt_coco',
                '20.0 72.80 48.5 66.1 52.6 30.1 51.9 66.0',
                why=dict(flops=UNSELECTED),
                doubled=True,
            ),
            _detector(
                'RT-DETR SpaRTAN-T',
                'rtdetr_spartan_t_coco',
                '21.5 75.90 50.0 68.1 54.0 32.7 53.8 68.0',
                why=dict(flops=UNSELECTED),
                doubled=True,
            ),
        ),
        note='FLOPs of RT-DETR are twice the multiply-adds at 640 x 640 pixels. Those of the others are multiply-adds '
        'at 800 x 1067, the size of an image of 480 x 640 in their tests.',
    ),
    Table(
        4,
        'Ablation on SMixer and CMixer',
        (
            _ablation('Baseline (Convolution + MLP)', 'table4_conv_mlp', '71.9'),
            _ablation('SMixer + MLP', 'table4_smixer_mlp', '72.4'),
            _ablation('SMixer + MLP + SE', 'table4_smixer_mlp_se', '72.6'),
            _ablation('Convolution + MLP + SE', 'table4_conv_mlp_se', '72.3'),
            _ablation('Convolution + CMixer', 'table4_conv_cmixer', '72.8'),
            _ablation('SMixer + CMixer', 'table4_smixer_cmixer', '73.9'),
        ),
    ),
    Table(
        5,
        'Ablation on Kernel Size in SMixer',
        (
            _classifier('3', 'ablations/table5_kernel_3', '2.07 0.64 73.90', parameters=CLASSES),
            _classifier('5', 'ablations/table5_kernel_5', '2.10 0.68 73.93', parameters=CLASSES, flops=REST_OF_FLOPS),
        ),
    ),
    Table(
        6,
        'Ablation on Activation Function in Patch Embedding Layer and Building Blocks',
        (
            _ablation('GELU, GELU', 'table6_gelu_gelu', '72.8'),
            _ablation('GELU, SiLU', 'table6_gelu_silu', '73.2'),
            _ablation('SiLU, GELU', 'table6_silu_gelu', '73.9'),
            _ablation('SiLU, SiLU', 'table6_silu_silu', '72.9'),
        ),
        note='Activation of the patch embeddings, then of the blocks.',
    ),
    Table(
        7,
        'Ablation on Normalization Layer After Convolution and Before SMixer+CMixer',
        (
            _ablation('BatchNorm, BatchNorm', 'table7_bn_bn', '73.1'),
            _ablation('BatchNorm, LayerNorm', 'table7_bn_ln', '73.9'),
            _ablation('LayerNorm, BatchNorm', 'table7_ln_bn', '72.6'),
            _ablation('LayerNorm, LayerNorm', 'table7_ln_ln', '72.2'),
        ),
        note='Normalization after convolutions, then before the mixers.',
    ),
    Table(
        8,
        'Ablation Study on Types of Convolution',
        tuple(
            Row(name, f'ablations/{config}', _figures('parameters flops macs throughput top1', figures), why)
            for name, config, figures, why in (
                ('full', 'table8_full', '3.3 0.78 754.2 3008 74.1', {}),
                ('depthwise', 'table8_depthwise', '2.2 0.57 539.2 3640 73.2', dict(flops=REST_OF_FLOPS)),
                ('hybrid', 'table8_hybrid', '2.2 0.64 614.4 3730 73.9', {}),
            )
        ),
    ),
)
