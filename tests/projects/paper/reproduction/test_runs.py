"""What is read from the folders of trainings."""

import json

from projects.paper.reproduction.runs import Run, run_name


def write_log(folder, *entries, tail=''):
    log = folder / 'vis_data' / 'scalars.json'
    log.parent.mkdir(parents=True)
    log.write_text(''.join(f'{json.dumps(entry)}\n' for entry in entries) + tail)


def test_a_training_is_finished_after_the_last_epoch_of_its_recipe(tmp_path):
    run = Run('spartan_xt_in1k', tmp_path)
    assert run.metrics() is None
    write_log(
        tmp_path / 'spartan_xt_in1k' / '20260101', {'loss': 1.0, 'step': 300}, {'accuracy/top1': 73.0, 'step': 299}
    )
    assert run.metrics() is None
    # resumed after a kill in the midst of a line
    write_log(tmp_path / 'spartan_xt_in1k' / '20260102', {'accuracy/top1': 73.9, 'step': 300}, tail='{"accu')
    assert run.metrics()['accuracy/top1'] == 73.9


def test_detectors_have_the_length_of_their_own_recipe(tmp_path):
    write_log(tmp_path / 'rtdetr_r18vd_coco' / '1', {'coco/bbox_mAP': 0.4, 'step': 70})
    assert Run('rtdetr_r18vd_coco', tmp_path).metrics() is None
    write_log(tmp_path / 'rtdetr_r18vd_coco' / '2', {'coco/bbox_mAP': 0.464, 'step': 72})
    assert Run('rtdetr_r18vd_coco', tmp_path).metrics()['coco/bbox_mAP'] == 0.464


def test_a_training_with_a_checkpoint_is_begun(tmp_path):
    run = Run('peers/resnet18_in1k', tmp_path)
    assert not run.is_begun
    (tmp_path / 'resnet18_in1k').mkdir()
    (tmp_path / 'resnet18_in1k' / 'epoch_3.pth').touch()
    assert run.is_begun


def test_rows_of_one_network_share_a_folder():
    assert run_name('ablations/table8_hybrid') == run_name('spartan_xt_in1k') == 'spartan_xt_in1k'
    assert run_name('ablations/table6_silu_gelu') == 'table6_silu_gelu'
