import shutil
from types import SimpleNamespace

import pytest
from mmengine.config import Config

from mmspartan.errors import InputError
from mmspartan.runs.evaluation_data import check_evaluation_data


def test_annotations_of_other_images_than_those_evaluated_are_refused(tmp_path):
    for name in ('val', 'train'):
        (tmp_path / f'{name}.json').write_text(name)
    shutil.copy(tmp_path / 'val.json', tmp_path / 'copy.json')
    dataset = SimpleNamespace(ann_file=str(tmp_path / 'val.json'))
    wrapped = SimpleNamespace(dataset=SimpleNamespace(datasets=[SimpleNamespace(ann_file='other.json'), dataset]))

    def config(*names: str) -> Config:
        evaluators = [dict(type='CocoMetric', ann_file=f'{tmp_path}/{name}.json') for name in names]
        return Config(dict(test_evaluator=evaluators if len(evaluators) > 1 else evaluators[0]))

    for cfg in (
        config('val'),
        config('copy'),
        config('val', 'copy'),
        Config(dict(test_evaluator=dict(type='Accuracy'))),
    ):
        check_evaluation_data(dataset, cfg, 'test')
        check_evaluation_data(wrapped, cfg, 'test')
    panoptic = config('val', 'train')
    panoptic.test_evaluator[0].type = 'CocoPanopticMetric'
    check_evaluation_data(dataset, panoptic, 'test')
    message = r'test_evaluator\.ann_file=.*train\.json is another file .*dataset\.ann_file=.*val\.json'
    for cfg in (config('train'), config('val', 'train')):
        with pytest.raises(InputError, match=message):
            check_evaluation_data(dataset, cfg, 'test')
