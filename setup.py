"""Package with its configs, tools and model index inside as ``mmspartan/.mim``, the OpenMMLab way.

An editable installation gets links there instead of copies.
"""

import shutil
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).parent
MIM = ('configs', 'tools', 'model-index.yml')


class BuildWithMim(build_py):
    def run(self):
        super().run()
        mim = (ROOT if self.editable_mode else Path(self.build_lib)) / 'mmspartan' / '.mim'
        mim.mkdir(parents=True, exist_ok=True)
        for name in MIM:
            target = mim / name
            if target.is_dir() and not target.is_symlink():
                shutil.rmtree(target)
            else:
                target.unlink(missing_ok=True)
            if self.editable_mode:
                target.symlink_to(Path('..', '..', name))
            elif (ROOT / name).is_file():
                shutil.copy(ROOT / name, target)
            else:
                shutil.copytree(ROOT / name, target, ignore=shutil.ignore_patterns('__pycache__'))


def read_version() -> str:
    variables = {}
    exec((ROOT / 'mmspartan' / 'version.py').read_text(), variables)
    return variables['__version__']


setup(
    name='mmspartan',
    version=read_version(),
    description='SpaRTAN backbone for OpenMMLab: MMPretrain and MMDetection',
    long_description=(ROOT / 'README.md').read_text(),
    long_description_content_type='text/markdown',
    license='Apache-2.0',
    packages=find_packages(include=['mmspartan', 'mmspartan.*', 'mmspartan_cli']),
    package_data={'mmspartan': ['**/*.html', 'pretrained/*.safetensors']},
    cmdclass={'build_py': BuildWithMim},
    python_requires='>=3.10,<3.14',
    # Neither torch nor OpenMMLab's packages: pip would lay them over a fork's files, or over versions that belong to a
    # compiled mmcv. mmspartan/stack.py checks them at import. Nor, in the extras, what requires another numpy or
    # OpenCV, such as sahi.
    install_requires=['numpy', 'safetensors'],
    extras_require={
        'openmmlab': [  # for environments without any of them; the forks install the same modules by other names
            'torch>=2.1',
            'torchvision>=0.16',
            'mmengine>=0.10.3,<1.0',
            'mmcv>=2.1.0,<2.2.0',  # mmdet 3.3 refuses 2.2
            'mmdet>=3.2,<4.0',
            'mmpretrain>=1.2,<2.0',
            'setuptools<81',  # mmengine looks packages up by pkg_resources
        ],
        'classification': ['scikit-learn'],
        'detection': ['pycocotools', 'jinja2'],
        'hgnetv2': ['timm>=1.0'],  # not in 'detection': timm requires torch, and other backbones need neither
        'compression': ['torch-pruning>=1.6,<1.7'],
        'faster-coco-eval': ['faster-coco-eval>=1.6'],
        'deployment': [
            'onnx',
            'onnxscript',
            'onnxruntime',
            'openvino',
            'onnxslim',
            'ml_dtypes<0.6',  # of onnx; 0.6 requires numpy 2
        ],
    },
    zip_safe=False,
)
