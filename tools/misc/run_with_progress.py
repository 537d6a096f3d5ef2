"""Run a command with its output in a file, and show how far it is: ``run_with_progress.py LOG COMMAND [...]``.

Of mmengine's log it shows epoch, step, loss and remaining time, one line that changes on a terminal and a line each
otherwise, and batches and score of each evaluation. If the command fails, its last lines are shown. The exit code is
that of the command.
"""

import re
import signal
import subprocess
import sys
from pathlib import Path

STEP = re.compile(r'Epoch\(train\)\s+\[(\d+)\]\[\s*(\d+)/(\d+)\].*? eta: (.+?)  .*? loss: ([\d.e+-]+|nan|inf)')
EVALUATION = re.compile(r'Epoch\((?:val|test)\) +(?:\[ *\d+\])?\[ *(\d+)/ *(\d+)\] +eta')
SCORE = re.compile(r'Epoch\(val\).*?(bbox_mAP|top1): ([\d.]+)')


def progress(line: str) -> str:
    """What a line of the log says of the training's progress, ``''`` if nothing."""
    if step := STEP.search(line):
        epoch, done, all_steps, left, loss = step.groups()
        return f'epoch {epoch:>2}  step {done:>3}/{all_steps}  loss {float(loss):7.3f}  {left} left'
    if score := SCORE.search(line):
        return f'evaluated: {score[1]} {score[2]}'
    if evaluation := EVALUATION.search(line):
        return f'evaluating: batch {evaluation[1]} of {evaluation[2]}'
    return ''


def show(text: str, terminal: bool) -> None:
    if not terminal:
        print(f'     {text}', flush=True)
    elif text.startswith('evaluated'):
        print(f'\n     {text}', flush=True)
    else:
        print(f'\r     {text:<60}', end='', flush=True)


def main():
    if len(sys.argv) < 3:
        raise SystemExit(f'usage: {__doc__.splitlines()[0]}')
    log, command = Path(sys.argv[1]), sys.argv[2:]
    log.parent.mkdir(parents=True, exist_ok=True)
    terminal = sys.stdout.isatty()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the command as well, which may save a checkpoint
    last: list[str] = []
    with log.open('a') as file:
        try:
            process = subprocess.Popen(
                command,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors='replace',
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # Python makes KeyboardInterrupt of it
            )
        except OSError as error:
            raise SystemExit(f'{command[0]}: {error.strerror}') from error
        signal.signal(signal.SIGTERM, lambda number, frame: process.terminate())
        for line in process.stdout:
            file.write(line)
            file.flush()
            last = [*last[-7:], line]
            if shown := progress(line):
                show(shown, terminal)
        code = process.wait()
    if code:
        sys.stderr.write(f'\n{"".join(last)}\nexit code {code}; the whole output: {log}\n')
    sys.exit(code if code >= 0 else 128 - code)


if __name__ == '__main__':
    main()
