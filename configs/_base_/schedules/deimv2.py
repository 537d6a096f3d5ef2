# DEIMv2's recipe: the stages of DEIM's with other sizes, and another matching cost in the last epochs. A leaf config
# takes one of `recipes`, which have the same keys, and sets the epochs.
_base_ = './deim.py'

last_match = dict(match_costs=[dict(type='ScoreIoUCost', power=4.0)])


def _recipe(side, smallest, mosaics):
    # for an input of side x side pixels, objects with larger sides than the smallest, and this share of mosaics
    resize = dict(type='Resize', scale=(side, side), keep_ratio=False)
    large = dict(type='FilterAnnotations', min_gt_bbox_wh=(smallest, smallest), keep_empty=False)
    short_side = dict(type='Resize', scale=(5 * side, side // 2), keep_ratio=True)
    mosaic = [short_side, dict(type='GridMosaic', loading=[*_base_._load, short_side]), _base_._affine, _base_._distort]
    choice = dict(type='RandomChoice', transforms=[mosaic, _base_._strong], prob=[mosaics, 1 - mosaics])
    pack = [large, dict(type='RandomFlip', prob=0.5), resize, large, dict(type='PackDetInputs')]
    plain, dense, strong = (dict(pipeline=[*_base_._load, *steps, *pack]) for steps in ([], [choice], _base_._strong))
    # of the sizes with the lite encoder, which mix no images
    stages = [plain, dense, strong, plain, dict(plain, **last_match), dict(plain, **last_match, from_best=True)]
    return dict(resize=resize, plain=plain, dense=dense, strong=strong, stages=stages)


recipes = dict(
    atto=_recipe(320, 12, 0.3),
    femto=_recipe(416, 10, 0.5),
    pico=_recipe(640, 8, 0.5),
    n=_recipe(640, 1, 0.5),
)
