import onnx
import pytest

from mmspartan.deploy.evaluation import check_classes


@pytest.mark.parametrize(
    ('noted', 'expected', 'message'),
    [
        (('a', 'b', 'c'), ('a', 'b'), r'has 3 classes \(a, b, c\), not as many as the 2 of the config.+set \(a, b\)'),
        (('a', 'b'), ('b', 'a'), r'has 2 classes \(a, b\), in another order than the 2 of the config.+set \(b, a\)'),
        (('a', 'b'), ('a', 'b'), None),
        (('0', '1'), ('a', 'b'), None),  # a file whose classes had no names
        ((), ('a', 'b'), None),  # a file from elsewhere
        (('a', 'b'), (), None),  # a dataset that does not say
    ],
)
def test_classes_of_file_and_dataset(noted, expected, message, tmp_path):
    model = onnx.helper.make_model(onnx.helper.make_graph([], 'empty', [], []))
    onnx.helper.set_model_props(model, {'classes': '\n'.join(noted)})
    path = str(tmp_path / 'x.onnx')
    onnx.save(model, path)
    if message:
        with pytest.raises(ValueError, match=rf'x\.onnx: {message}'):
            check_classes(path, expected)
    else:
        check_classes(path, expected)
