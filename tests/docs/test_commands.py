"""Every command, path, option, config name and Python block of README and docs exists as it is written."""

import ast
import importlib
import re
from pathlib import Path

import mmcv.ops
import mmdet
import mmpretrain
import pytest
import yaml
from mmengine import registry
from mmengine.config import Config
from mmengine.utils import import_modules_from_strings, is_installed

from mmspartan import __version__, config_path
from mmspartan.benchmark.models import FORMS
from tests.conftest import ROOT
from tests.docs.documents import PAGES, Block, Command, all_commands, blocks, prose
from tests.docs.scripts import options_of, parse

PACKAGES = {'$MMDET': Path(mmdet.__path__[0], '.mim'), '$MMPRETRAIN': Path(mmpretrain.__path__[0], '.mim')}
# Where the positional arguments of a shell script stand in the Python script that it calls.
SHELL_SCRIPTS = {
    'dist_train.sh': ('train.py', 2, (0,)),
    'dist_test.sh': ('test.py', 3, (0, 1)),
    'slurm_train.sh': ('train.py', 4, (2,)),
    'slurm_test.sh': ('test.py', 4, (2, 3)),
}
PROGRAMS = {'source', 'export', 'pre-commit', 'tensorboard'}  # of which nothing is checked
SCRIPTS = [*sorted((ROOT / 'tools').rglob('*.py')), ROOT / 'projects' / 'paper' / 'reproduce.py']
PYTHON = [block for page in PAGES for block in blocks(page, 'python')]


def check(words: tuple[str, ...]) -> None:
    program, *arguments = words
    if program == 'make':
        check_make(arguments)
    elif program == 'pip':
        check_extras(arguments)
    elif program == 'python' and arguments[0] == '-m':
        importlib.import_module(arguments[1])
        check_paths(arguments[2:])
    elif program == 'python':
        check_script(script_path(arguments[0]), arguments[1:])
    elif program.endswith('.sh'):
        script = script_path(program)
        python_script, count, kept = SHELL_SCRIPTS[script.name]
        assert len(arguments) >= count, f'{script.name} takes at least {count} arguments'
        check_script(script.parent / python_script, [*(arguments[i] for i in kept), *arguments[count:]])
    else:
        assert program in PROGRAMS, f'{program}: how to check this is not known'


def check_make(arguments: list[str]) -> None:
    makefile = (ROOT / 'Makefile').read_text()
    for argument in arguments:
        name, is_variable, value = argument.partition('=')
        if is_variable:
            assert f'$({name})' in makefile, f'Makefile does not use {name}'
            check_paths(value.split())
        else:
            assert re.search(rf'^{name}:.*## ', makefile, re.MULTILINE), f'Makefile has no documented target {name}'


def check_extras(arguments: list[str]) -> None:
    extras = re.findall(r"^        '([\w-]+)': \[", (ROOT / 'setup.py').read_text(), re.MULTILINE)
    for name in re.findall(r'mmspartan\[(.*?)\]', ' '.join(arguments)):
        assert name in extras, f'setup.py has no extra {name!r}'


def check_paths(arguments: list[str]) -> None:
    for argument in arguments:
        if argument.startswith(('tests/', 'configs/', 'tools/', 'projects/')):
            assert list(ROOT.glob(argument)), f'{argument} does not exist'


def script_path(name: str) -> Path:
    root = ROOT
    for variable, folder in PACKAGES.items():
        if name.startswith(f'{variable}/'):
            root, name = folder, name.removeprefix(f'{variable}/')
    assert (root / name).is_file(), f'{root / name} does not exist'
    return root / name


def check_script(script: Path, arguments: list[str]) -> None:
    given = vars(parse(script, arguments))
    check_paths([argument.partition('@')[0] for argument in arguments])
    if script.name == 'benchmark.py':
        for argument in arguments:
            assert argument.partition('@')[2] in ('', *FORMS), f'{argument}: no such form'
    if given.get('cfg_options') and str(given['config']).startswith(('configs/', 'projects/')):
        cfg = Config.fromfile(ROOT / given['config'])
        for key in given['cfg_options']:
            assert key.split('.')[0] in cfg, f'{given["config"]} has no {key}'


@pytest.mark.parametrize('command', all_commands(), ids=lambda command: command.name)
def test_command_is_one_that_runs(command: Command):
    check(command.words)


@pytest.mark.parametrize(
    ('command', 'message'),
    [
        ('python tools/tran.py CONFIG', 'tran.py does not exist'),
        ('python tools/train.py CONFIG --resum-me', 'unrecognized arguments: --resum-me'),
        ('python tools/train.py configs/spartan_s.py', 'spartan_s.py does not exist'),
        ('python tools/train.py configs/spartan_t_in1k.py --cfg-options modl.backbone.arch=xt', 'has no modl'),
        ('python tools/deploy_test.py CONFIG m.onnx --backend tensorrt', 'invalid choice'),
        ('python $MMDET/tools/test.py', 'the following arguments are required'),
        ('python tools/analysis_tools/benchmark.py reference-t@fast', 'no such form'),
        ('tools/dist_train.sh CONFIG', 'at least 2 arguments'),
        ('make coffee', 'no documented target coffee'),
        ('make test TESTS=tests/nothing', 'tests/nothing does not exist'),
        ('pip install mmspartan[everything]', "no extra 'everything'"),
        ('curl example.org', 'not known'),
    ],
)
def test_a_wrong_command_is_noticed(command, message):
    with pytest.raises(AssertionError, match=re.escape(message)):
        check(tuple(command.split()))


@pytest.mark.parametrize('page', PAGES, ids=lambda page: page.name)
def test_paths_and_links_exist(page: Path):
    text = page.read_text()
    folders = r'tools|configs|tests|docs|requirements|mmspartan|projects|\.ci'
    mentioned = re.findall(rf'(?<![\w/.$-])((?:{folders})/[\w./*-]*\w)', text)
    for path in (path for path in mentioned if 'NAME' not in path):
        assert list(ROOT.glob(path)), f'{page.name}: {path} does not exist'
    for link in re.findall(r'\]\(([^)#:]+)(?:#[^)]*)?\)', text):
        assert (page.parent / link).exists(), f'{page.name}: {link} does not exist'


@pytest.mark.parametrize('page', PAGES, ids=lambda page: page.name)
def test_options_in_the_text_exist(page: Path):
    known = set().union(*map(options_of, SCRIPTS), {'--dataset-size'})
    for code in re.findall(r'`([^`\n]+)`', prose(page)):
        for option in re.findall(r'(?<![\w-])--[a-z][\w-]*', code):
            assert option in known, f'{page.name}: no script has {option}'
        named = re.match(r'((?:tools|projects)/\S+\.py)', code)
        if named and ROOT / named.group(1) in SCRIPTS:
            assert set(re.findall(r'(?<![\w-])--[a-z][\w-]*', code)) <= options_of(ROOT / named.group(1)), code


def test_table_of_commands_lists_every_script_with_its_own_options():
    rows = re.findall(r'^\| `(?:tools|projects)/.*', (ROOT / 'docs' / 'tools.md').read_text(), re.MULTILINE)
    listed = set()
    for row in rows:
        scripts = re.findall(r'(?:tools|projects)/[\w/]+\.(?:py|sh)', row)
        listed.update(scripts)
        if scripts[0].endswith('.py'):
            wrong = set(re.findall(r'`(--[\w-]+)', row)) - options_of(ROOT / scripts[0])
            assert not wrong, f'{scripts[0]} has no {sorted(wrong)}'
    shell = {str(path.relative_to(ROOT)) for path in (ROOT / 'tools').glob('*_t*.sh')}
    assert listed == {str(path.relative_to(ROOT)) for path in SCRIPTS} | shell


@pytest.mark.parametrize('block', PYTHON, ids=lambda block: block.name)
def test_python_compiles_and_what_it_imports_exists(block: Block):
    for node in ast.walk(ast.parse(block.text, block.name)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                importlib.import_module(alias.name)
        elif isinstance(node, ast.ImportFrom):
            module = importlib.import_module(node.module)
            assert all(hasattr(module, alias.name) for alias in node.names), ast.unparse(node)


@pytest.mark.parametrize('page', PAGES, ids=lambda page: page.name)
def test_configs_and_registered_names_exist(page: Path):
    import_modules_from_strings(['mmdet.models', 'mmdet.datasets', 'mmdet.visualization', 'mmpretrain.models'])
    text = page.read_text()
    for name in re.findall(r"config_path\('([^']+)'\)", text):
        config_path(name)
    for name in re.findall(r'`((?:spartan|rtdetr|dfine|deim|deimv2)_\w+_(?:in1k|coco|digits))`', text):
        config_path(name)
    registries = [value for value in vars(registry).values() if isinstance(value, registry.Registry)]
    names = {name for one in registries for name in names_in(one)} | set(vars(mmcv.ops))
    own = set(re.findall(r'^class (\w+)', text, re.MULTILINE))
    for name in re.findall(r"\btype='([\w.]+)'", text):
        assert name.rpartition('.')[2] in names | own, f'{page.name}: nothing is registered as {name}'


def names_in(one: registry.Registry) -> set[str]:
    return set(one.module_dict).union(*map(names_in, one.children.values()))


@pytest.mark.parametrize(
    'block', [block for block in PYTHON if block.text.startswith('_base_')], ids=lambda block: block.name
)
def test_config_inherits_from_one_that_exists(block: Block, tmp_path):
    text = block.text
    if 'mmseg::' in text and not is_installed('mmsegmentation'):  # OneDL's, of which the page tells the path
        text = text.replace("'mmseg::", "__import__('mmseg').__path__[0] + '/.mim/configs/")
    (tmp_path / 'mine.py').write_text(text)
    assert 'model' in Config.fromfile(tmp_path / 'mine.py')


def test_readme_is_short():
    assert len((ROOT / 'README.md').read_text().splitlines()) <= 120


def pins_of(stack: str) -> dict[str, str]:
    """Versions in a file of ``requirements/`` by package; of two lines that for Python 3.11."""
    text = (ROOT / 'requirements' / f'{stack}.txt').read_text()
    return {
        name: version for name, version, older in re.findall(r'^([\w-]+)==([\w.]+)( *; .*<)?', text, re.M) if not older
    }


def test_table_of_versions_has_the_pins_of_each_stack():
    frozen, onedl, classic = map(pins_of, ('frozen', 'onedl', 'classic'))
    text = (ROOT / 'requirements' / 'onedl.txt').read_text()
    forks = {name: fork for fork, name in re.findall(r'^([\w-]+)==.*# in place of (\S+)', text, re.MULTILINE)}
    table = (ROOT / 'docs' / 'versions.md').read_text()
    for name in ('torch', 'torchvision', 'mmengine', 'mmcv', 'mmdet', 'mmpretrain', 'numpy'):
        fork = f'{forks[name]} {onedl[forks[name]]}' if name in forks else onedl.get(name, frozen[name])
        assert f'| {name} | {frozen[name]} | {fork} | {classic.get(name, frozen[name])} |' in table
    fork, pose = f'onedl-mmsegmentation {onedl["onedl-mmsegmentation"]}', frozen['mmpose']
    theirs = f'yes, {frozen["mmsegmentation"]} and {pose}'
    assert f'| {theirs} | yes, {fork} and {pose} | {theirs};' in table


def test_versions_that_stand_in_several_files_agree():
    pins = pins_of('frozen')
    (hook,) = yaml.safe_load((ROOT / '.pre-commit-config.yaml').read_text())['repos']
    assert hook['rev'] == f'v{pins["ruff"]}'
    assert str(yaml.safe_load((ROOT / 'CITATION.cff').read_text())['version']) == __version__
