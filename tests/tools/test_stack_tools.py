"""MMPretrain's own tools run on our configs with the pinned packages."""

from pathlib import Path

import cv2
import mmpretrain

from tests.conftest import ROOT, run_script


def test_browse_dataset_draws_images(tmp_path):
    script = Path(mmpretrain.__file__).parent / '.mim' / 'tools' / 'visualization' / 'browse_dataset.py'
    config = ROOT / 'configs' / 'spartan_xt_digits.py'
    run_script(script, config, '--show-number', 2, '--output-dir', 'drawn', '--not-show', cwd=tmp_path)
    pictures = [cv2.imread(str(path)) for path in (tmp_path / 'drawn').iterdir()]
    assert len(pictures) == 2 and all(picture.min() < picture.max() for picture in pictures)
