"""What a training resumes from is checked before anything of it is used."""

import pytest
import torch
from mmengine.optim import LinearLR
from torch import nn

from mmspartan.checkpoints.resume_state import check_optimizer_fits, check_resumable, restored_schedulers
from mmspartan.errors import InputError

HUB = dict(log_scalars={}, runtime_info={}, resumed_keys={})
WHOLE = dict(meta=dict(epoch=1, iter=8), state_dict={}, message_hub=HUB, optimizer={}, param_schedulers=[])


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (dict(optimizer=None), 'it has no optimizer.*use --cfg-options load_from='),
        (dict(meta=None), 'it has no meta'),
        (dict(meta=dict(epoch='1', iter=8)), "its meta.epoch is '1', not a number"),
        (dict(meta=dict(epoch=1, iter=-8)), 'its meta.iter is -8'),
        (dict(message_hub=dict(HUB, log_scalars=3)), 'its message_hub has no log_scalars'),
        (dict(param_schedulers=3), 'it has no param_schedulers'),
    ],
    ids=str,
)
def test_what_is_no_checkpoint_of_a_training_is_not_resumed(change, message):
    check_resumable(WHOLE)
    with pytest.raises(InputError, match=f'^cannot be resumed from: {message}'):
        check_resumable({**WHOLE, **change})


def test_optimizer_state_of_other_parameters_is_not_loaded():
    model = nn.Linear(3, 2)
    optimizer = torch.optim.AdamW(model.parameters())
    model(torch.zeros(1, 3)).sum().backward()
    optimizer.step()
    optimizer.param_groups[0]['fused'] = True  # not every torch has a fused one for CPUs

    def changed(change) -> dict:
        state = optimizer.state_dict()
        state = dict(state={k: dict(v) for k, v in state['state'].items()}, param_groups=state['param_groups'])
        change(state)
        return state

    check_optimizer_fits(optimizer, changed(lambda state: None))
    for change, message in [
        (lambda state: state['state'][0].update(exp_avg=torch.zeros(1000)), r'exp_avg of parameter 0 is \(1000,\)'),
        (lambda state: state['state'][1].update(exp_avg_sq=torch.full((2,), torch.nan)), 'holds values that are not'),
        (lambda state: state['state'][0].update(exp_avg=torch.zeros(2, 3).long()), 'is of torch.int64'),
        (lambda state: state.update(param_groups=[]), 'its optimizer has 0 groups'),
        (lambda state: state.update(state=[]), 'has no param_groups or no state'),
        (lambda state: state.update(param_groups=[3]), 'its optimizer has 1 groups'),
        (lambda state: state['param_groups'][0].update(lr=float('nan')), 'lr of group 0 of its optimizer is nan'),
        (lambda state: state['state'].update({0: 3}), 'parameter 0 of its optimizer has no state'),
        (lambda state: state['state'][0]['exp_avg_sq'].sub_(9), 'exp_avg_sq of parameter 0 is negative'),
    ]:
        with pytest.raises(InputError, match=message):
            check_optimizer_fits(optimizer, changed(change))
    sgd = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    with pytest.raises(
        InputError, match=r'its optimizer is no SGD: it has betas, .*load_from=\.\.\. instead of --resume'
    ):
        check_optimizer_fits(sgd, changed(lambda state: None))


def test_states_of_schedulers_set_nothing_that_theirs_have_not():
    optimizer = torch.optim.SGD(nn.Linear(3, 2).parameters(), lr=0.1)
    scheduler = LinearLR(optimizer, start_factor=0.5, end=4)
    state = scheduler.state_dict()
    assert restored_schedulers([scheduler], [dict(state, step=3)]) == [state]
    for states, message in [
        ([], 'it has 0 param_schedulers, this training 1'),
        ([3], r'param_schedulers\[0\] has no last_step'),
        ([dict(state, end='4')], r'param_schedulers\[0\]\.end is a str'),
    ]:
        with pytest.raises(InputError, match=rf'^cannot be resumed from: {message}'):
            restored_schedulers([scheduler], states)
