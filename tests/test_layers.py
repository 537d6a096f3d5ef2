"""The packages of mmspartan, and the modules beside them, import each other in one direction."""

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import mmspartan

PACKAGE = Path(mmspartan.__file__).parent


def imports(path: Path) -> set[str]:
    """Return the first names below mmspartan that a file imports, relative or by the package's name."""
    *folders, _ = path.relative_to(PACKAGE).parts
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
        if isinstance(node, ast.ImportFrom):
            # in mmspartan/runs/hooks/a.py the two dots of `from ..loops import x` are mmspartan.runs
            above = ['mmspartan', *folders][: len(folders) + 2 - node.level] if node.level else []
            module = [*above, *(node.module or '').split('.')] if node.module else above
            names = [module] if node.module else [[*module, name.name] for name in node.names]
            found |= {name[1] for name in names if name[0] == 'mmspartan' and len(name) > 1}
    return found


def test_packages_import_each_other_in_one_direction():
    graph: dict[str, set[str]] = {}
    for path in PACKAGE.rglob('*.py'):
        owner = path.relative_to(PACKAGE).parts[0].removesuffix('.py')
        if owner != '__init__':
            graph.setdefault(owner, set()).update(imports(path) - {owner, '__init__'})
    assert {'ops', 'nn'} <= graph['spartan'] and 'runs' in graph['benchmark']  # it sees imports
    order = list(TopologicalSorter(graph).static_order())  # raises CycleError
    assert order.index('nn') < order.index('rtdetr') < order.index('deploy') < order.index('benchmark')
    assert 'spartan' not in graph['rtdetr'] and not {'deploy', 'runs'} & (graph['spartan'] | graph['rtdetr'])
