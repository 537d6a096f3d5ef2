# DN-Deformable-DETR (Li et al., 2022): DAB-Deformable-DETR with denoising.
_base_ = './dab_deformable_detr_r50_coco.py'

model = dict(
    dn_cfg=dict(num_groups=5, label_noise=0.2, box_noise=0.4),
    bbox_head=dict(type='DNDETRHead'),
)
