"""torchrun that exits with the status of its processes: 128 + the signal that ended the run."""

import sys

from torch.distributed.elastic.multiprocessing.api import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.run import main as run


def main() -> None:
    try:
        run()
    except SignalException as received:
        sys.exit(128 + received.sigval)
    except ChildFailedError as error:
        code = error.get_first_failure()[1].exitcode
        if code not in (130, 143):  # a signal that the processes received before torchrun
            raise
        sys.exit(code)


if __name__ == '__main__':
    main()
