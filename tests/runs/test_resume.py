"""A training that is killed goes on as if it had not been."""

import os
import re
import shutil
import signal
import time

import pytest
import torch
from mmengine.fileio import LocalBackend
from mmengine.hooks import Hook
from mmengine.registry import HOOKS

from mmspartan.commands.launch import build_runner
from mmspartan.errors import InputError
from mmspartan.runs.work_dir import latest_checkpoint
from tests.conftest import DATA, ROOT
from tests.forks import Fork
from tests.runs.conftest import KillAt, Killed, digits_config, same_result


@pytest.fixture(scope='module')
def unbroken(tmp_path_factory):
    """Work dir of a run that nothing interrupts."""
    folder = tmp_path_factory.mktemp('unbroken') / 'run'
    build_runner(digits_config(folder)).train()
    return folder


@pytest.mark.parametrize(
    ('stage', 'n'),
    [('after_train_iter', 12), ('after_val_iter', 2), ('after_val_epoch', 2)],
    ids=['in an epoch', 'in the last evaluation', 'after it'],
)
def test_killed_and_resumed_ends_as_an_unbroken_run(stage, n, train, unbroken):
    work_dir = train(kill=(stage, n))
    train(resume=latest_checkpoint(work_dir))
    assert same_result(work_dir, unbroken)


def test_prefix_of_distributed_data_parallel_is_no_part_of_the_names(train, unbroken, tmp_path):
    checkpoint = torch.load(unbroken / 'epoch_1.pth', weights_only=True)
    checkpoint['state_dict'] = {f'module.{key}': value for key, value in checkpoint['state_dict'].items()}
    torch.save(checkpoint, tmp_path / 'epoch_1.pth')
    resumed = train(resume=str(tmp_path / 'epoch_1.pth'))
    found, expected = (torch.load(run / 'epoch_2.pth', weights_only=True) for run in (resumed, unbroken))
    for entry in ('state_dict', 'ema_state_dict'):
        assert all(torch.equal(value, found[entry][key]) for key, value in expected[entry].items())


def test_weights_without_anything_else_are_a_start(unbroken, tmp_path):
    weights = torch.load(unbroken / 'epoch_1.pth', weights_only=True)['state_dict']
    torch.save(weights, tmp_path / 'bare.pth')
    runner = build_runner(digits_config(tmp_path / 'run'))
    runner.call_hook('before_run')  # in which the averaged weights are made
    runner.load_checkpoint(str(tmp_path / 'bare.pth'))
    assert all(torch.equal(value, weights[key]) for key, value in runner.model.state_dict().items())


def kill_at_write(monkeypatch, n: int) -> None:
    """Ends the run when the n-th checkpoint is written half; what it leaves is never cleaned up, as by a SIGKILL."""
    put, calls = LocalBackend.put, iter(range(1, 100))

    def put_half(self, obj, filepath):
        if '.pth.' in str(filepath) and next(calls) == n:
            put(self, obj[: len(obj) // 2], filepath)
            shutil.copy(filepath, str(filepath).replace('.pth.', '.pth.1'))
            raise Killed
        put(self, obj, filepath)

    monkeypatch.setattr(LocalBackend, 'put', put_half)


# A run writes six: the first epoch's, the best, the first with a note of the best, and so for the second epoch.
@pytest.mark.parametrize('n', [1, 2, 5, 6])
def test_killed_while_a_checkpoint_is_written(n, train, unbroken, monkeypatch):
    with monkeypatch.context() as patch:
        kill_at_write(patch, n)
        work_dir = train(killed=True)
    assert len(list(work_dir.glob('*.part'))) == 1
    best = [path.name for path in work_dir.glob('best*.pth')]
    assert 'best_accuracy_top1_epoch_1.pth' in best or n < 5  # until the next one is written
    resume = latest_checkpoint(work_dir)
    assert (resume is None) == (n == 1)
    train(resume=resume)
    assert same_result(work_dir, unbroken)


def test_batches_and_iterations_draw_the_same_with_any_number_of_workers(train, unbroken):
    work_dir = train(**{'train_dataloader.num_workers': 2, 'train_dataloader.persistent_workers': True})
    assert same_result(work_dir, unbroken)


def test_checkpoint_by_iterations_inside_an_epoch_is_resumed_there(train):
    hook = {'default_hooks.checkpoint.by_epoch': False, 'default_hooks.checkpoint.interval': 3, 'custom_hooks': []}
    whole = train('whole', **hook)
    broken = train('broken', kill=('after_train_iter', 14), **hook)
    checkpoint = latest_checkpoint(broken)
    assert checkpoint.endswith('iter_12.pth')
    train('broken', resume=checkpoint, **hook)
    weights = [torch.load(folder / 'iter_16.pth')['optimizer']['state'][0]['exp_avg'] for folder in (whole, broken)]
    assert torch.equal(*weights)


def test_checkpoint_from_inside_an_epoch_of_another_length_is_refused(train):
    work_dir = train(kill=('after_train_iter', 14), **{'default_hooks.checkpoint.by_epoch': False})
    message = r'iter_13\.pth: cannot be resumed from: it was saved after batch 5 of 8 of an epoch, which has 4 batches'
    with pytest.raises(InputError, match=message):
        train(resume=latest_checkpoint(work_dir), **{'train_dataloader.batch_size': 64})


def test_epochs_of_another_length_are_resumed_again(train):
    work_dir = train(**{'train_cfg.max_epochs': 1})
    for epochs in (2, 3):  # of four batches instead of eight
        options = {'train_cfg.max_epochs': epochs, 'train_dataloader.batch_size': 64}
        work_dir = train(resume=latest_checkpoint(work_dir), **options)
    assert torch.load(latest_checkpoint(work_dir))['meta']['iter'] == 4 + 4 + 4


def test_an_evaluation_is_missing_whatever_the_number_of_its_iteration(train):
    work_dir = train(kill=('before_val_epoch', 2))  # with an evaluation after 8 iterations and none after 16
    train(resume=latest_checkpoint(work_dir), **{'train_dataloader.batch_size': 64})  # two epochs of 4 are 8, too
    logs = ''.join(path.read_text() for path in work_dir.glob('*/vis_data/scalars.json'))
    assert logs.count('accuracy/top1') == 2


def test_schedule_of_epochs_of_another_length_ends_as_that_of_an_unbroken_run(train):
    cosine = dict(type='CosineAnnealingLR', eta_min=0.0, begin=0, end=2, by_epoch=True, convert_to_iter_based=True)
    options = {'param_scheduler': [cosine]}
    longer = {**options, 'train_dataloader.batch_size': 16}
    broken = train('broken', kill=('after_train_iter', 12), **options)
    resumed = train('broken', resume=latest_checkpoint(broken), update_optimizer=True, **longer)
    found, expected = (torch.load(latest_checkpoint(run)) for run in (resumed, train('whole', **longer)))
    assert found['meta']['iter'] == expected['meta']['iter'] == 2 * 16
    assert found['param_schedulers'][0]['last_step'] == expected['param_schedulers'][0]['last_step']
    lr, at_the_end = (checkpoint['optimizer']['param_groups'][0]['lr'] for checkpoint in (found, expected))
    assert lr == pytest.approx(at_the_end)


def test_loop_by_iterations_is_resumed_with_the_same_batches(train):
    loop = {
        'train_cfg': dict(_delete_=True, by_epoch=False, max_iters=12, val_interval=6),
        'default_hooks.checkpoint.by_epoch': False,
        'default_hooks.checkpoint.interval': 4,
        'train_dataloader.sampler': dict(type='InfiniteSampler', shuffle=True),
        'train_dataloader.num_workers': 1,  # which draws indices ahead
        'train_dataloader.persistent_workers': True,
        'param_scheduler': [],
    }
    whole = train('whole', **loop)
    broken = train('broken', kill=('after_train_iter', 7), **loop)
    train('broken', resume=latest_checkpoint(broken), **loop)
    assert same_result(broken, whole)


def test_without_a_seed_in_the_config_the_checkpoints_seed_goes_on(train):
    whole = train('whole', **{'randomness.seed': 7})
    train('broken', kill=('after_train_iter', 12), **{'randomness.seed': 7})
    train('broken', resume=latest_checkpoint(whole.parent / 'broken'), **{'randomness.seed': None})
    assert same_result(whole.parent / 'broken', whole)


def test_copied_work_dir_goes_on_from_its_own_checkpoint_and_leaves_the_original(train, unbroken, tmp_path):
    original = train('original', kill=('after_train_iter', 12))
    shutil.copytree(original, tmp_path / 'copy')
    before = sorted(path.name for path in original.iterdir())
    checkpoint = latest_checkpoint(tmp_path / 'copy')
    assert checkpoint == str(tmp_path / 'copy' / 'epoch_1.pth')
    assert same_result(train('copy', resume=checkpoint), unbroken)
    assert sorted(path.name for path in original.iterdir()) == before


def test_one_run_at_a_time_in_a_work_dir(train, tmp_path):
    lock = f'from mmspartan.runs.work_dir import WorkDirLock\nlock = WorkDirLock({str(tmp_path / "run")!r})\n'
    (tmp_path / 'other.py').write_text(f'import time\n{lock}print("locked", flush=True)\ntime.sleep(600)\n')
    other = Fork(tmp_path / 'other.py', cwd=tmp_path)
    try:
        while 'locked' not in other.printed()[0]:
            assert other.process.is_alive(), other.printed()
            time.sleep(0.05)
        with pytest.raises(InputError, match=r'run: process \d+ on .* is training there; .*another --work-dir'):
            train()
    finally:
        other.process.kill()
        other.process.join()
    train(**{'train_cfg.max_epochs': 1})


def test_files_that_are_not_the_hooks_are_never_removed_whatever_a_checkpoint_says(train, tmp_path):
    work_dir = train(kill=('after_train_iter', 12))
    content = torch.load(work_dir / 'epoch_1.pth')
    (work_dir / 'mine.pth').touch()
    (tmp_path / 'precious.txt').touch()
    info = ['..', '.', '', '../precious.txt', 'mine.pth', 'last_checkpoint', 3, 'best_accuracy_top1_epoch_1.pth']
    for name in ('epoch_{}.pth', 'iter_{}.pth'):
        content['message_hub']['runtime_info'][f'outdated_checkpoints/{name}'] = info
        content['message_hub']['resumed_keys'][f'outdated_checkpoints/{name}'] = True
    torch.save(content, work_dir / 'epoch_1.pth')
    before = {path.name for path in work_dir.iterdir()}
    train(kill=('after_train_iter', 1), resume=str(work_dir / 'epoch_1.pth'))
    assert before <= {path.name for path in work_dir.iterdir()} and (tmp_path / 'precious.txt').exists()


def test_best_checkpoint_of_one_hook_is_safe_from_another(train):
    names = dict(filename_tmpl='i{:03d}.pth')
    second = dict(type='SafeCheckpointHook', by_epoch=False, interval=3, max_keep_ckpts=2, **names)
    scores = iter([5.0, 9.0, 3.0, 4.0])

    class Scores(Hook):
        priority = 'HIGHEST'

        def after_val_epoch(self, runner, metrics):
            metrics['accuracy/top1'] = next(scores)

    HOOKS.register_module(name='Scores', module=Scores, force=True)
    work_dir = train(**{'custom_hooks': [second, dict(type='Scores')], 'train_cfg.max_epochs': 4})
    assert [path.name for path in work_dir.glob('best*')] == ['best_accuracy_top1_epoch_2.pth']
    assert sorted(path.name for path in work_dir.glob('i*')) == ['i030.pth', 'i032.pth']


def test_log_has_a_bound_and_goes_on(train, unbroken):
    options = {'default_hooks.log_history': dict(type='LogHistoryHook', length=10)}
    work_dir = train(**options)
    history = torch.load(work_dir / 'epoch_2.pth')['message_hub']['log_scalars']['train/loss']['values']
    whole = torch.load(unbroken / 'epoch_2.pth')['message_hub']['log_scalars']['train/loss']['values']
    assert torch.equal(history, whole[-10:]) and len(whole) == 16


@pytest.mark.parametrize(
    ('stage', 'n'),
    [('after_val_iter', 1), ('before_train_epoch', 2), ('before_val_epoch', 2)],
    ids=['in an evaluation', 'between two epochs', 'before an evaluation'],
)
def test_signal_at_any_moment_is_followed_by_a_checkpoint_that_goes_on(stage, n, train, unbroken, tmp_path):
    runner = build_runner(digits_config(tmp_path / 'run'))
    runner.register_hook(KillAt(stage, n, signal.SIGTERM))
    with pytest.raises(SystemExit) as ended:
        runner.train()
    assert ended.value.code == 143
    assert latest_checkpoint(tmp_path / 'run').endswith('interrupted.pth')
    assert same_result(train(resume=latest_checkpoint(tmp_path / 'run')), unbroken)


WATCHED = """
_base_ = {base!r}
train_dataloader = dict(num_workers=1, dataset=dict(indices=256))
val_dataloader = dict(num_workers=1, persistent_workers=True, dataset=dict(indices=64))  # alive when a signal comes
"""
BY_EPOCHS = 'train_cfg = dict(max_epochs=200)\ndefault_hooks = dict(checkpoint=dict(interval=200))\n'
BY_ITERATIONS = """
train_cfg = dict(_delete_=True, by_epoch=False, max_iters=2000, val_interval=8)
default_hooks = dict(logger=dict(interval=4), checkpoint=dict(by_epoch=False, interval=2000))
log_processor = dict(by_epoch=False)
param_scheduler = []
"""


@pytest.mark.parametrize(
    ('number', 'loop', 'reached'),
    [('TERM', BY_EPOCHS, r'Epoch\(train\) +\[ *2\]'), ('INT', BY_ITERATIONS, r'Iter\(train\) +\[ *12/')],
    ids=['SIGTERM, by epochs', 'SIGINT, by iterations'],
)
def test_signal_ends_a_run_with_a_checkpoint_and_the_command_that_goes_on(number, loop, reached, tmp_path):
    (tmp_path / 'mine.py').write_text(WATCHED.format(base=str(DATA / 'digits_quick.py')) + loop)
    training = Fork(ROOT / 'tools' / 'train.py', 'mine.py', '--work-dir', 'run', cwd=tmp_path)
    while not re.search(reached, training.printed()[0]):
        assert training.process.is_alive(), training.printed()
        time.sleep(0.1)
    for _ in range(2 if number == 'TERM' else 1):  # a scheduler's may come twice
        os.killpg(training.process.pid, dict(TERM=signal.SIGTERM, INT=signal.SIGINT)[number])  # the worker as well
    ended = training.end(timeout=60)
    assert ended.returncode == dict(TERM=143, INT=130)[number], ended.stderr[-2000:]
    last = ended.stderr.strip().splitlines()[-1]
    assert last.startswith(f'SIG{number}: stopped after ') and last.endswith('--resume') and 'train.py' in last
    meta = torch.load(tmp_path / 'run' / 'interrupted.pth')['meta']
    assert meta['iter'] >= 8 and f'after {meta["iter"]} iterations' in last
    assert latest_checkpoint(tmp_path / 'run').endswith('interrupted.pth')


def test_longer_training_is_told_that_the_schedule_continues_as_it_began(train, unbroken, capfd):
    resume = str(unbroken / 'epoch_2.pth')
    train('longer', resume=resume, **{'train_cfg.max_epochs': 3, 'log_level': 'WARNING'})
    printed = capfd.readouterr().out
    assert 'epoch_2.pth: was saved by a training of max_epochs=2, this one has 3. The learning rate' in printed
