"""One call for one image, and frames of videos, streams and cameras."""

import json
import os
import runpy
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from mmengine.dataset import pseudo_collate
from mmengine.logging import MMLogger
from mmengine.structures import InstanceData

import mmspartan
from mmspartan.commands.command import command
from mmspartan.errors import InputError
from mmspartan.inference.video import Frames, VideoResults, is_live
from tests.conftest import DATA, ROOT


def two_classes_for_each_box(self, inputs, data_samples, mode='predict'):
    for sample in data_samples:
        sample.pred_instances = InstanceData(
            bboxes=torch.tensor([[5, 5, 30, 40], [5, 5, 30, 40], [40, 40, 60, 60], [40, 40, 60, 60.0]]),
            labels=torch.tensor([4, 9, 2, 1]),
            scores=torch.tensor([0.5, 0.9, 0.25, 0.1]),
        )
    return list(data_samples)


def test_an_object_has_one_box_and_its_strongest_class(checkpoint, monkeypatch, tmp_path):
    warned: list = []
    monkeypatch.setattr(MMLogger, 'handle', lambda self, record: warned.append(record) if record.levelno > 20 else None)
    detector = mmspartan.Detector(DATA / 'rtdetr_quick.py', checkpoint, device='cpu', score_thr=0.2)
    assert detector.inferencer.collate_fn is pseudo_collate
    assert not warned
    monkeypatch.setattr(type(detector.inferencer.model), 'forward', two_classes_for_each_box)
    cv2.imwrite(str(tmp_path / 'image.png'), np.full((64, 64, 3), 90, np.uint8))
    found = detector(tmp_path / 'image.png')
    assert len(found) == 2 and found.names == ['9', '2'] and found.labels.tolist() == [9, 2]
    assert found.boxes.tolist() == [[5, 5, 30, 40], [40, 40, 60, 60]]
    assert found.scores.tolist() == pytest.approx([0.9, 0.25])
    assert repr(found) == 'Detections(9 0.90 [5, 5, 30, 40], 2 0.25 [40, 40, 60, 60])'
    assert found.every['names'] == ['4', '9', '2', '1']  # what AP needs
    assert found.every['drawn'] == [False, True, True, False]
    found.save(tmp_path / 'new' / 'drawn.png')
    drawn = cv2.imread(str(tmp_path / 'new' / 'drawn.png'))
    assert np.array_equal(drawn, found.drawn()) and drawn.shape == (512, 512, 3) and (drawn != 90).any()
    own = mmspartan.Detector(DATA / 'rtdetr_quick.py', checkpoint, device='cpu', score_thr={'9': 0.95, '2': 0.2})
    assert own(tmp_path / 'image.png').names == ['4', '2']
    with pytest.raises(InputError, match=r'missing\.png'):
        detector(tmp_path / 'missing.png')
    for image, kind in ((np.ones((8, 8, 3), np.float32), 'an array of float32'), (torch.ones(3), 'a Tensor')):
        with pytest.raises(InputError, match=f'the image is {kind}, must be a path'):
            detector(image)
    cv2.imwrite(str(tmp_path / 'dark.png'), np.full((64, 64), 4000, np.uint16))
    detector(tmp_path / 'dark.png')
    [record] = warned
    assert f'{tmp_path}/dark.png: 16-bit values below 4096' in record.getMessage()
    detector.inferencer.bits = 12
    assert (detector.inferencer.read(tmp_path / 'dark.png') == 250).all() and len(warned) == 1


def test_classes_may_be_in_a_file_and_images_in_a_wrapper(checkpoint, tmp_path):
    (tmp_path / 'classes.txt').write_text(''.join(f'{i}\n' for i in range(10)))
    config = f"""
_base_ = {str(DATA / 'rtdetr_quick.py')!r}
_inner = dict(_base_.test_dataloader.dataset, metainfo=dict(classes={str(tmp_path / 'classes.txt')!r}))
test_dataloader = dict(dataset=dict(_delete_=True, type='ConcatDataset', datasets=[_inner]))
"""
    (tmp_path / 'config.py').write_text(config)
    detector = mmspartan.Detector(tmp_path / 'config.py', checkpoint, device='cpu')
    assert list(detector.inferencer.model.dataset_meta['classes']) == [str(i) for i in range(10)]


def test_threads_draw_each_its_own_image(checkpoint, monkeypatch):
    detector = mmspartan.Detector(DATA / 'rtdetr_quick.py', checkpoint, device='cpu')
    monkeypatch.setattr(type(detector.inferencer.model), 'forward', two_classes_for_each_box)
    found = [detector(np.full((64, 64, 3), value, np.uint8)) for value in range(0, 240, 10)]
    alone = [one.drawn() for one in found]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda one: one.drawn(), found))
    assert all(map(np.array_equal, alone, together))


def test_without_a_display_a_window_is_refused(checkpoint, monkeypatch):
    monkeypatch.setattr('matplotlib.get_backend', lambda: 'agg')
    found = mmspartan.Detector(DATA / 'rtdetr_quick.py', checkpoint, device='cpu')(np.zeros((64, 64, 3), np.uint8))
    with pytest.raises(InputError, match=r'opens no windows here: save\(\) writes the image'):
        found.show()


def test_what_cannot_be_a_detector_is_named(checkpoint):
    with pytest.raises(InputError, match=r'spartan_t_in1k\.py: a classifier'):
        mmspartan.Detector('spartan_t_in1k', checkpoint)
    with pytest.raises(InputError, match='rtdetr_spartan_t_coco'):  # one of those that exist
        mmspartan.Detector('rtdetr_spartan_s_coco', checkpoint)
    with pytest.raises(InputError, match='score_thr is 30'):
        mmspartan.Detector('rtdetr_spartan_t_coco', checkpoint, score_thr=30)
    with pytest.raises(InputError, match='bits is 7, must be a whole number from 8 to 16'):
        mmspartan.Detector('rtdetr_spartan_t_coco', checkpoint, bits=7)
    with pytest.raises(InputError, match='score_thr: no class is called cat; there are 0, 1'):
        mmspartan.Detector(DATA / 'rtdetr_quick.py', checkpoint, device='cpu', score_thr={'cat': 0.5})


@pytest.fixture
def film(tmp_path):
    path = tmp_path / 'film.avi'
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*'MJPG'), 10, (64, 64))
    for i in range(20):
        writer.write(np.random.RandomState(i).randint(0, 255, (64, 64, 3), np.uint8))
    writer.release()
    return path


def test_frames_of_a_video_that_is_cut_off_are_counted(film):
    frames = Frames(str(film))
    assert len(list(frames)) == frames.total == 20 and frames.fps == 10 and frames.problem is None
    film.write_bytes(film.read_bytes()[: film.stat().st_size // 2])
    frames = Frames(str(film))
    read = len(list(frames))
    assert 0 < read < 20 and f'{read} of its 20' in frames.problem
    unnamed = film.with_name('\udcff.avi')  # bytes that are no UTF-8, on which OpenCV would crash
    film.rename(unnamed)
    with pytest.raises(InputError, match=r'udcff\.avi'):
        Frames(str(unnamed))
    film.write_bytes(b'no film')
    with pytest.raises(InputError, match=r'film\.avi'):
        Frames(str(film))


def test_streams_are_read_and_cameras_that_are_missing_are_refused(film):
    handler = partial(SimpleHTTPRequestHandler, directory=film.parent)
    handler.log_message = lambda *_: None
    with ThreadingHTTPServer(('127.0.0.1', 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        frames = Frames(f'http://127.0.0.1:{server.server_port}/film.avi')
        assert sum(1 for _ in frames) == 20 and frames.name.endswith('film_avi')
        server.shutdown()
    for source in ('97', 'rtsp://127.0.0.1:1/camera'):
        assert is_live(source)
        with pytest.raises(InputError, match=source):
            Frames(source)
    assert not is_live(str(film))


def test_a_camera_is_ended_by_a_signal_and_keeps_its_results(tmp_path):
    tool = runpy.run_path(str(ROOT / 'tools' / 'image_demo.py'))
    detect = tool['detect_in_video']

    class Camera:
        name, fps, total, problem = 'camera_7', 10, 0, None

        def __iter__(self):
            for i in range(100):
                if i == 3:
                    os.kill(os.getpid(), signal.SIGINT)
                yield np.zeros((64, 64, 3), np.uint8)

    found = SimpleNamespace(drawn=lambda: np.zeros((64, 64, 3), np.uint8), every={}, scores=np.zeros(1))
    args = SimpleNamespace(input='7', out_dir=tmp_path, max_frames=None)
    with command():  # ends other runs
        scores, problems = detect(lambda frame: found, Camera(), args)
    assert len(scores) == 3 and not problems
    assert len(json.loads((tmp_path / 'preds' / 'camera_7.json').read_text())) == 3


def test_names_of_results_are_unique():
    names_of = runpy.run_path(str(ROOT / 'tools' / 'image_demo.py'))['names_of']
    images = [Path('in', name) for name in ('a.jpg', 'a.jpg.jpg', 'a.png', 'b.gif', 'b.gif.jpg', 'sub/a.jpg')]
    names = [name for pair in names_of(images, Path('in')) for name in pair]
    assert len(set(names)) == len(names) == 12
    assert names[-2:] == [Path('sub/a.json'), Path('sub/a.jpg')]


def test_what_was_written_of_a_video_is_complete_after_an_interruption(tmp_path):
    with pytest.raises(KeyboardInterrupt), VideoResults(tmp_path, 'film', 10) as results:
        for i in range(3):
            results.write(np.zeros((64, 64, 3), np.uint8), dict(scores=[i]))
        raise KeyboardInterrupt
    assert json.loads((tmp_path / 'preds' / 'film.json').read_text()) == [dict(scores=[i]) for i in range(3)]
    assert len(list(Frames(str(tmp_path / 'vis' / 'film.mp4')))) == 3
