"""Scripts in this process, which saves the seconds of importing torch and OpenMMLab; and their command lines."""

import argparse
import io
import logging
import os
import runpy
import sys
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from functools import cache
from pathlib import Path
from unittest import mock

from mmengine.logging import MessageHub, MMLogger
from mmengine.registry import DefaultScope
from mmengine.utils import ManagerMixin


@contextmanager
def called_as(script: Path, *arguments: object, cwd: Path):
    before, folder = sys.argv, os.getcwd()
    sys.argv = [str(script), *map(str, arguments)]
    os.chdir(cwd)
    try:
        yield
    finally:
        sys.argv = before
        os.chdir(folder)


def run_here(script: Path, *arguments: object, cwd: Path) -> str:
    """Run a script to its end; returns what it printed and logged."""
    scopes = dict(DefaultScope._instance_dict)
    forget_runs()
    printed = io.StringIO()
    with called_as(script, *arguments, cwd=cwd), redirect_stdout(printed), redirect_stderr(printed):
        try:
            runpy.run_path(str(script), run_name='__main__')
        except SystemExit as ended:
            assert not ended.code, f'{script.name}: {ended.code}\n{printed.getvalue()[-2000:]}'
        finally:
            logging.disable(logging.NOTSET)  # as export_onnx.py leaves it
            forget_runs()
            DefaultScope._instance_dict.update(scopes)
    return printed.getvalue()


def forget_runs() -> None:
    """Remove loggers, visualizers and message hubs of former runs, which a run of the same second would take over."""
    classes = [ManagerMixin, MMLogger, MessageHub]
    while classes:
        one = classes.pop()
        one._instance_dict.clear()
        classes += one.__subclasses__()


class ParserFound(Exception):
    def __init__(self, parser: argparse.ArgumentParser):
        super().__init__()
        self.parser = parser


@cache
def parser_of(script: Path) -> argparse.ArgumentParser:
    """The parser that a script hands its arguments to; of a script without one, a parser that takes any words."""

    def parse_args(self, *args, **kwargs):
        raise ParserFound(self)

    with called_as(script, cwd=script.parent), mock.patch.object(argparse.ArgumentParser, 'parse_args', parse_args):
        try:
            runpy.run_path(str(script), run_name='__main__')
        except ParserFound as found:
            return found.parser
        except SystemExit:
            assert 'argparse' not in script.read_text(), f'{script} ended before it parsed its arguments'
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument('words', nargs=argparse.REMAINDER)
    return parser


def parse(script: Path, arguments: list[str]) -> argparse.Namespace:
    """Arguments as the script reads them.

    Raises:
        AssertionError: If the script would refuse them.
    """
    printed = io.StringIO()
    try:
        with redirect_stderr(printed):
            return parser_of(script).parse_args(arguments)
    except SystemExit:
        raise AssertionError(printed.getvalue().strip().splitlines()[-1]) from None


def options_of(script: Path) -> set[str]:
    parsers = [parser_of(script)]
    for parser in parsers:
        for action in parser._actions:
            if isinstance(action, argparse._SubParsersAction):
                parsers += action.choices.values()
    return {option for parser in parsers for action in parser._actions for option in action.option_strings}
