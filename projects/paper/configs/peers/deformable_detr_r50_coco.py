# Deformable DETR (Zhu et al., 2021) with box refinement and two stages: the form that has the AP of Table III. The
# parameters and FLOPs there are those of its plain form.
_base_ = '../_base_/deformable_detr_r50_coco.py'

model = dict(as_two_stage=True)
