"""SpaRTAN in timm."""

import timm
import torch

import mmspartan.timm_models  # noqa: F401 - registers
from mmspartan import get_model


def test_checkpoint_of_the_classifier_gives_the_same_scores(tmp_path):
    expected = get_model('spartan_xt_in1k', head=dict(num_classes=7))
    torch.save(dict(state_dict=expected.state_dict()), tmp_path / 'weights.pth')
    model = timm.create_model('spartan_xt', num_classes=7, checkpoint_path=str(tmp_path / 'weights.pth')).eval()
    x = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(model(x), expected(x))


def test_features_of_the_stages():
    model = timm.create_model('spartan_t', features_only=True, out_indices=(1, 3), in_chans=1).eval()
    assert model.feature_info.channels() == [64, 256] and model.feature_info.reduction() == [8, 32]
    assert [tuple(x.shape[1:]) for x in model(torch.randn(1, 1, 64, 64))] == [(64, 8, 8), (256, 2, 2)]


def test_created_quietly_and_recomputed_if_asked(capfd):
    model = timm.create_model('spartan_xt')
    assert 'init' not in ''.join(capfd.readouterr()) and model.pretrained_cfg['input_size'] == (3, 224, 224)
    model.set_grad_checkpointing()
    assert model.backbone.with_cp
    _, (last,) = model.eval().forward_intermediates(torch.randn(1, 3, 64, 64), indices=1)
    assert last.shape[1] == 192


def test_classifier_is_replaced_for_other_classes():
    model = timm.create_model('spartan_xt', num_classes=0, drop_path_rate=0.1)
    x = torch.randn(2, 3, 64, 64)
    assert model(x).shape == (2, 192) and model.forward_features(x).shape == (2, 192, 2, 2)
    model.reset_classifier(5)
    assert model(x).shape == (2, 5) and model.get_classifier().out_features == 5
