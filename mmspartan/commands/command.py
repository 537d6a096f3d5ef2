"""How a command ends: errors that a user can correct are one line and the exit code 1, signals 128 + their number."""

import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from mmengine.config import Config

from mmspartan_cli import printable

from ..errors import InputError
from .config_check import entry_being_built

AGAIN = 1.0  # seconds after which a command that was told to stop, and has not begun to, is told again

_received: list[int] = []  # signals since the command began
_blamed: list[Callable[[], bool]] = []  # whether the run has started, of each `blame` around the current code


@contextmanager
def command() -> Iterator[None]:
    """Run the ``main`` of a tool, as its decorator or around a block.

    Exits with a message of one line on an ``InputError`` and on errors of the operating system that name their cause;
    other errors keep their traceback. With ``MMSPARTAN_TRACEBACK=1`` in the environment it is always shown. SIGTERM
    and Ctrl-C end the command, with 128 + their number as exit code.
    """
    in_main_thread = threading.current_thread() is threading.main_thread()
    signals = (signal.SIGTERM, signal.SIGINT) if in_main_thread else ()
    handlers = {number: signal.signal(number, _stop) for number in signals}
    alarm = signal.getsignal(signal.SIGALRM)
    try:
        yield
    except KeyboardInterrupt:  # in another thread
        _stop(signal.SIGINT)
    except Exception as error:
        _exit_if_stopped()  # code that caught SystemExit, such as mmengine's formatting of configs, raised the error
        line = _line_of_input_error(error) if isinstance(error, InputError) else _line_of_environment(error)
        if line is None:
            raise
        if os.environ.get('MMSPARTAN_TRACEBACK'):
            traceback.print_exc()
        sys.exit(printable(line))  # names of files and classes may hold codes for the terminal
    finally:
        if signal.getsignal(signal.SIGALRM) is _stop_again:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, alarm)
        for number, handler in handlers.items():
            signal.signal(number, handler)
        received = _received[:1]
        _received.clear()  # what runs after this command in the same process is not stopped
    if received:
        sys.exit(128 + received[0])


def _stop(number: int, frame: Any = None) -> None:
    if not _received:
        when = ' before the run began' if _blamed and not _blamed[-1]() else ''
        print(f'\n{signal.Signals(number).name}: stopped{when}.', file=sys.stderr)
    _received.append(number)
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGALRM, _stop_again)
        signal.setitimer(signal.ITIMER_REAL, AGAIN, AGAIN)
    sys.exit(128 + number)


def _stop_again(number: int, frame: Any) -> None:
    """Raise what ends the command where it was lost: Python ignores exceptions in callbacks of weak references.

    While it is on its way, and code cleans up, nothing is raised.
    """
    error = sys.exc_info()[1]
    while error is not None and not isinstance(error, SystemExit):
        error = error.__context__
    if error is None:
        _exit_if_stopped()


def _exit_if_stopped() -> None:
    if _received:
        sys.exit(128 + _received[0])


def _line_of_input_error(error: InputError) -> str:
    text = str(error).strip()
    if text.startswith('Caught InputError in '):  # a data loader's worker: a traceback, whose last line has the message
        return text.splitlines()[-1].partition('InputError: ')[2]
    return text


def _line_of_environment(error: Exception, source: str = '', advice: Mapping[int, str] = {}) -> str | None:
    """The line for an error of the operating system; None for others."""
    if isinstance(error, OSError) and error.errno is not None:
        line = ': '.join(filter(None, (str(error.filename or source), error.strerror)))
        return '; '.join(filter(None, (line, advice.get(error.errno))))
    if isinstance(error, RuntimeError) and str(error).startswith('DataLoader worker'):
        line = f'{str(error).splitlines()[0]} Memory may be short: lower num_workers; go on with --resume'
        return ': '.join(filter(None, (source, line)))
    return None


@contextmanager
def blame(
    source: str,
    cfg: Config | None = None,
    is_started: Callable[[], bool] = lambda: False,
    because: str = '',
    advice: Mapping[int, str] = {},
) -> Iterator[None]:
    """Raise an ``InputError`` that names a file for the errors which this file causes.

    Args:
        source: Name of the config or checkpoint that is read.
        cfg: The config that is built. An error of a constructor is reported with its entry in this config.
        is_started: Returns whether the run has started. Until then ``source`` causes all errors, and later only those
            of the environment are converted.
        because: What an error of another type than ValueError shows about ``source``.
        advice: What to do about errors of the operating system, by their numbers.

    Raises:
        InputError: The message names the file, with ``cfg`` also the entry.
    """
    _blamed.append(is_started)
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        line, entry = _line_of_environment(error, source, advice), ''
        if line is None:
            if is_started() or isinstance(error, OSError):
                raise
            entry = entry_being_built(error, cfg) if cfg else ''
            line = ': '.join(filter(None, (source, entry, _line_of_code(error, because))))
        raise InputError(line, file=source, entry=entry) from error
    finally:
        _blamed.pop()
    _exit_if_stopped()


def _line_of_code(error: Exception, because: str) -> str:
    message = ' '.join(str(error).split())
    if not message:  # of an assertion without a text
        where = traceback.extract_tb(error.__traceback__)[-1]
        message = f'{where.line} ({where.filename}:{where.lineno})'
    return message if isinstance(error, ValueError) else f'{because}{type(error).__name__}: {message}'
