"""How a command ends on errors and signals."""

import errno
import os
import signal
import time
import weakref

import pytest
from mmengine.config import Config
from mmengine.registry import MODELS

import mmspartan.commands.command as command_module
from mmspartan.commands.command import blame, command
from mmspartan.commands.launch import ADVICE
from mmspartan.errors import InputError


@pytest.mark.parametrize(
    ('error', 'message'),
    [
        (InputError('a.pth: damaged'), r'^a\.pth: damaged$'),
        (InputError('a\nb.pth: damaged'), r'^a\\nb\.pth: damaged$'),
        (InputError('\x1b[31mred.pth: damaged'), r'^\\x1b\[31mred\.pth: damaged$'),
        (
            InputError('Caught InputError in worker\nTraceback ...\nmmspartan.errors.InputError: a.png: cut'),
            r'^a\.png: cut$',
        ),
        (OSError(errno.ENOSPC, 'No space left', 'a.pth'), r'^a\.pth: No space left; free some space and go on with'),
        (OSError(errno.EROFS, 'Read-only', 'w'), r'^w: Read-only; choose another folder'),
        (OSError(errno.ENOENT, 'No such file', None), r'^config\.py: No such file$'),
        (KeyError('model'), r"^config\.py: KeyError: 'model'$"),
        (ValueError('X: a must be\n positive'), r'^config\.py: X: a must be positive$'),
    ],
    ids=repr,
)
def test_what_a_person_can_mend_is_one_line(error, message):
    with pytest.raises(SystemExit, match=message), command(), blame('config.py', advice=ADVICE):
        raise error


def test_a_command_that_was_stopped_does_not_stop_what_comes_after_it_in_the_process():
    with pytest.raises(SystemExit) as ended, command():
        os.kill(os.getpid(), signal.SIGTERM)
        signal.sigtimedwait([], 1)  # the handler runs here at the latest
    assert ended.value.code == 128 + signal.SIGTERM
    with blame('config.py'):
        pass


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize('error', [SyntaxError, None])
def test_signal_ends_a_tool_though_code_catches_every_exception(number, error):
    """As mmengine's formatting of configs does."""
    with pytest.raises(SystemExit) as ended, command(), blame('config.py'):
        try:
            os.kill(os.getpid(), number)
        except:  # noqa: E722
            if error:
                raise error from None
    assert ended.value.code == 128 + number


def test_assertion_without_a_text_is_reported_with_its_line():
    with pytest.raises(SystemExit, match=r'AssertionError: assert not 1'), command(), blame('config.py'):
        assert not 1


def test_killed_worker_is_reported_with_what_to_do():
    error = RuntimeError('DataLoader worker (pid 7) is killed by signal: Killed. ')
    with pytest.raises(SystemExit, match=r'num_workers.*--resume'), command(), blame('a.py', None, lambda: True):
        raise error


def test_errors_of_code_keep_their_traceback_once_the_run_is_under_way():
    with pytest.raises(KeyError), command(), blame('config.py', None, lambda: True):
        raise KeyError('x')
    with pytest.raises(SystemExit, match='a'), command(), blame('config.py', None, lambda: True):
        raise InputError('a')


def test_error_of_a_constructor_knows_its_file_and_entry():
    cfg = Config(dict(model=dict(type='SpaRTAN', arch='s')))
    with pytest.raises(InputError, match=r'^mine\.py: model \(.*\): SpaRTAN: arch ') as refused, blame('mine.py', cfg):
        MODELS.build(cfg.model)
    assert (refused.value.file, refused.value.entry) == ('mine.py', "model (type='SpaRTAN', arch='s')")


@pytest.mark.filterwarnings('ignore::pytest.PytestUnraisableExceptionWarning')
def test_stop_in_a_callback_of_a_weak_reference_is_not_lost(monkeypatch):
    """Python ignores exceptions of such callbacks."""
    monkeypatch.setattr(command_module, 'AGAIN', 0.05)

    class Tensor:
        pass

    before, began = signal.getsignal(signal.SIGALRM), time.monotonic()
    with pytest.raises(SystemExit) as stopped, command():
        tensor = Tensor()
        reference = weakref.ref(tensor, lambda _: os.kill(os.getpid(), signal.SIGTERM))
        del tensor
        time.sleep(20)
    assert stopped.value.code == 128 + signal.SIGTERM and reference() is None and time.monotonic() - began < 10
    assert signal.getitimer(signal.ITIMER_REAL) == (0, 0) and signal.getsignal(signal.SIGALRM) is before


def test_clean_up_after_a_stop_is_not_interrupted(monkeypatch):
    monkeypatch.setattr(command_module, 'AGAIN', 0.02)
    cleaned = []
    with pytest.raises(SystemExit), command():
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        finally:
            try:
                raise OSError('a file is gone')
            except OSError:
                time.sleep(0.1)
            time.sleep(0.1)
            cleaned.append(True)
    assert cleaned


@pytest.mark.parametrize(('is_started', 'when'), [(True, ''), (False, ' before the run began')])
def test_signal_says_whether_the_run_had_begun(is_started, when, capsys):
    with pytest.raises(SystemExit), command(), blame('config.py', None, lambda: is_started):
        os.kill(os.getpid(), signal.SIGTERM)
    assert capsys.readouterr().err == f'\nSIGTERM: stopped{when}.\n'
