"""The command `batch-upload`, which is also `python -m batch_upload`."""

import os
import signal
import sys

INTERRUPTED = 130
"""`errors.ExitCode.INTERRUPTED`, before anything of ours is imported."""


def main() -> None:
    """Run the command that the arguments name; leaves with its exit code.

    Windows has neither the file locks nor the ways of opening files that the command rests on: there it ends with 2.
    """
    if sys.platform == "win32":
        sys.stderr.write("error: batch-upload runs on Linux and macOS; on Windows run it within WSL\n")
        sys.exit(2)

    before = signal.getsignal(signal.SIGINT)
    if before is signal.default_int_handler:  # its exception would be a traceback: imports take most of a second
        signal.signal(signal.SIGINT, lambda *_: os._exit(INTERRUPTED))
    try:
        from batch_upload.cli.main import main as run_command  # imports modules that Windows does not have

        run_command()
    finally:
        signal.signal(signal.SIGINT, before)


if __name__ == "__main__":
    main()
