"""The trainings that reproduce the paper: their commands, their order, and an estimate of their GPU hours."""

import shlex
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from mmengine.config import Config

from mmspartan.markdown import table_lines

from .configs import config_file
from .runs import Run, config_of, run_name
from .tables import Row, Table

IMAGES = {'mmpretrain': 1_281_167, 'mmdet': 118_287}  # ImageNet-1k and COCO train2017, by the scope of the config

# Seconds for a training image on an NVIDIA H200, and images a second of one loader process (docs/performance.md). Steps
# of 128 images in float16 autocast for classifiers, three inferences of one image in float32 for detectors.
STEP_SECONDS = {
    'spartan_t_in1k': 0.173 / 128,
    'peers/resnet18_in1k': 0.009 / 128,
    'rtdetr_spartan_t_coco': 3 * 0.0481,
    'rtdetr_r18vd_coco': 3 * 0.0111,
}
LOADER_RATE = {'mmpretrain': 177, 'mmdet': 56}

ASSUMPTIONS = """\
- A step takes as long as was measured on one NVIDIA H200 (docs/performance.md): 173 ms for 128 images of
  `spartan_t_in1k` and 9 ms for 128 of ResNet-18, both in float16 autocast. A detector's step was not measured: an image
  is taken as three inferences of batch 1 in float32, 48.1 ms for `rtdetr_spartan_t_coco` and 11.1 ms for
  `rtdetr_r18vd_coco`.
- Other models take the time of one of these four, by the ratio of their multiply-adds.
- A loader process makes 177 images a second for classifiers and 56 for detectors, on each GPU as many processes run as
  `num_workers` says, and the slower of loader and step decides.
- Evaluations, start-up and communication take no time."""

WEIGHTS = """\
The published AP of RT-DETR with ResNet-18 and ResNet-34 starts from ImageNet weights of ResNet-vd, which are not made
here. Give a file of them: `--cfg-options model.backbone.init_cfg.type=Pretrained
model.backbone.init_cfg.checkpoint=FILE`. Those of ResNet-50 are downloaded, and those of SpaRTAN trained before."""


@dataclass(frozen=True)
class Training:
    """A training that a row of a table, or several, needs.

    Args:
        config: Name of the config, see :mod:`.configs`.
        tables: Numbers of the tables that need it.
        run: What there is of it.
        scope: ``default_scope`` of the config.
        needs: Name of the run whose weights its backbone starts from, or None.
        gpu_hours: Estimate for the whole training.
        limit: What decides the estimate: ``'loader'``, or the model that the step was measured for.
    """

    config: str
    tables: tuple[int, ...]
    run: Run
    scope: str
    needs: str | None
    gpu_hours: float
    limit: str

    @property
    def state(self) -> str:
        if self.run.metrics() is not None:
            return 'finished'
        return 'begun' if self.run.is_begun else 'to do'

    def command(self, gpus: int) -> str:
        """Return the command that starts the training, or continues it where it was killed."""
        words = ['tools/dist_train.sh', config_file(self.config), str(gpus), '--resume', '--auto-scale-lr']
        words += ['--work-dir', str(self.run.folder)]
        if self.needs:
            weights = self.run.folder.parent / self.needs / 'epoch_300.pth'
            options = dict(type='Pretrained', checkpoint=weights, prefix='backbone.')
            words += ['--cfg-options', *(f'model.backbone.init_cfg.{key}={value}' for key, value in options.items())]
        return shlex.join(words)


def trainings(
    tables: Sequence[Table], work_dirs: str | Path, multiply_adds: Callable[[Row], float]
) -> Iterator[Training]:
    """Iterate over the trainings of tables, each once: the classifiers, then the detectors, of which some need them.

    Args:
        tables: Tables to reproduce.
        work_dirs: Folder of the runs.
        multiply_adds: Multiply-adds of a row's model, to scale measured times by.
    """
    needed: dict[str, list[tuple[int, Row]]] = {}
    for table in tables:
        for row in table.rows:
            needed.setdefault(run_name(row.config), []).append((table.number, row))
    reference = {row.config: row for table in tables for row in table.rows if row.config in STEP_SECONDS}
    for detects in (False, True):
        for uses in needed.values():
            row = next((row for _, row in uses if not row.config.startswith('ablations/')), uses[0][1])
            cfg = config_of(row.config)
            if (cfg.default_scope == 'mmdet') == detects:
                hours, limit = _gpu_hours(row, cfg, reference, multiply_adds)
                arch = cfg.model.get('backbone', {}).get('arch') if detects else None
                needs = f'spartan_{arch}_in1k' if arch else None
                numbers = tuple(dict.fromkeys(number for number, _ in uses))
                yield Training(row.config, numbers, Run(row.config, work_dirs), cfg.default_scope, needs, hours, limit)


def _gpu_hours(
    row: Row, cfg: Config, reference: dict[str, Row], multiply_adds: Callable[[Row], float]
) -> tuple[float, str]:
    is_spartan = cfg.model.get('backbone', {}).get('type') in ('SpaRTAN', 'MogaNet')
    if cfg.default_scope == 'mmdet':
        similar = 'rtdetr_spartan_t_coco' if is_spartan else 'rtdetr_r18vd_coco'
    else:
        similar = 'spartan_t_in1k' if is_spartan else 'peers/resnet18_in1k'
    known = reference.get(similar) or Row(similar, similar, {}, doubled=cfg.default_scope == 'mmdet')
    ratio = 1.0 if row.config == similar else multiply_adds(row) / multiply_adds(known)
    step = STEP_SECONDS[similar] * ratio
    loader = 1 / (LOADER_RATE[cfg.default_scope] * cfg.train_dataloader.num_workers)
    images = IMAGES[cfg.default_scope] * cfg.train_cfg.max_epochs
    return images * max(step, loader) / 3600, 'loader' if loader > step else similar


def overview(planned: Sequence[Training], gpus: int) -> str:
    """Return the trainings as a Markdown table, with the assumptions of the estimate."""
    left = [training for training in planned if training.state != 'finished']
    hours = sum(training.gpu_hours for training in left)
    lines = [
        '# Trainings of the paper',
        '',
        f'{len(left)} of {len(planned)} trainings are left: about {hours:,.0f} GPU hours, or '
        f'{hours / gpus / 24:,.0f} days on {gpus} GPUs. A training that was begun is counted as a whole.',
        '',
    ]
    heads = ['config', 'tables', 'state', 'GPU hours', 'estimated by']
    rows = [
        [f'`{one.config}`', ', '.join(map(str, one.tables)), one.state, f'{one.gpu_hours:,.0f}', one.limit]
        for one in planned
    ]
    lines += table_lines(heads, rows)
    return '\n'.join([*lines, '', WEIGHTS, '', 'Assumptions:', '', ASSUMPTIONS, ''])


def shell_script(planned: Sequence[Training], gpus: int) -> str:
    """Return a script that runs what is left in turn. A training that fails does not stop the others."""
    lines = [
        '#!/usr/bin/env bash',
        '# Run from the root of the checkout. Started again, it resumes what was killed; the finished end at once.',
        'set -u',
        'failed=0',
        'run() { echo "$*"; "$@" || { echo "failed: $*" >&2; failed=1; }; }',
        '',
        *(f'run {training.command(gpus)}' for training in planned if training.state != 'finished'),
        'exit $failed',
    ]
    return '\n'.join(lines) + '\n'


def slurm_array(planned: Sequence[Training], gpus: int) -> str:
    """Return a script that submits itself as two arrays: classifiers, then detectors, which may need their weights."""
    left = [training for training in planned if training.state != 'finished']
    first = sum(training.scope == 'mmpretrain' for training in left)
    submit = []
    if first:
        submit.append(f'  first=$(sbatch --parsable --array=1-{first} "$0")')
    if first < len(left):
        after = '--dependency=afterany:$first ' if first else ''
        submit.append(f'  sbatch {after}--array={first + 1}-{len(left)} "$0"')
    lines = [
        '#!/usr/bin/env bash',
        '# bash FILE submits two arrays, a task for each training. A task that is killed is queued again and resumes.',
        '#SBATCH --job-name=spartan',
        f'#SBATCH --gres=gpu:{gpus}',
        '#SBATCH --nodes=1',
        '#SBATCH --requeue',
        '#SBATCH --output=%x_%A_%a.log',
        'if [ -z "${SLURM_ARRAY_TASK_ID:-}" ]; then',
        *submit,
        '  exit',
        'fi',
        'export PORT=$((29500 + SLURM_ARRAY_TASK_ID))',
        'case $SLURM_ARRAY_TASK_ID in',
        *(f'  {i}) exec {training.command(gpus)} ;;' for i, training in enumerate(left, 1)),
        'esac',
    ]
    return '\n'.join(lines) + '\n'
