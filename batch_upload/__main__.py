"""The command `batch-upload`, which is also `python -m batch_upload`."""

import sys


def main() -> None:
    """Run the command that the arguments name; leaves with its exit code.

    Windows has neither the file locks nor the ways of opening files that the command rests on: there it ends with 2.
    """
    if sys.platform == "win32":
        sys.stderr.write("error: batch-upload runs on Linux and macOS; on Windows run it within WSL\n")
        sys.exit(2)

    from batch_upload.cli.main import main as run_command  # imports modules that Windows does not have

    run_command()


if __name__ == "__main__":
    main()
