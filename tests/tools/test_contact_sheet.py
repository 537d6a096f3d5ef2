import cv2
import numpy as np

from tests.conftest import ROOT, last_line, run_script


def test_images_of_any_size_become_one(tmp_path):
    for i, size in enumerate([(20, 30), (40, 40), (10, 50)]):
        cv2.imwrite(str(tmp_path / f'{i}.png'), np.full((*size, 3), 50 * i, dtype=np.uint8))
    tool = ROOT / 'tools' / 'misc' / 'contact_sheet.py'
    printed = run_script(tool, '.', '--out', 'sheets/all.png', '--columns', 2, '--height', 40, cwd=tmp_path)
    assert 'sheets/all.png: 3 images' in printed
    sheet = cv2.imread(str(tmp_path / 'sheets' / 'all.png'))
    assert sheet.shape == (40 + 8 + 40, 200, 3)  # the third, 200 wide, is alone in the second row


def test_what_is_no_image_is_named(tmp_path):
    (tmp_path / 'a.png').write_text('text')
    for source, message in (('none', 'none: no such image or folder'), ('a.png', 'a.png: cannot be read as an image')):
        assert last_line('misc/contact_sheet.py', source, '--out', 'b.png', cwd=tmp_path) == message
