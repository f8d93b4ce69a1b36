"""`python -m batch_upload` is `batch-upload`."""

from batch_upload.cli.main import main

if __name__ == "__main__":
    main()
