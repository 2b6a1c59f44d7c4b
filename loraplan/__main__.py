"""The `loraplan` command and `python -m loraplan`: a process that is over as soon as its answer is written."""

import gc
import os
import sys
from typing import NoReturn


def main() -> NoReturn:
    """Run the command line; leave without taking the interpreter apart, which is 10 of 110 ms and of use to nobody."""
    # A check makes few cycles: collecting while modules load is 7 of 110 ms. Not switched off, for long searches.
    gc.set_threshold(100_000, 20, 20)
    from loraplan.cli import main as run

    try:
        run()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(code)


if __name__ == "__main__":
    main()
