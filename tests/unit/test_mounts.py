"""On what kind of file system a path lies."""

from pathlib import Path

import pytest

from batch_upload.mounts import file_system_of

MOUNTS = r"""21 1 254:1 / / rw shared:1 - ext4 /dev/vda1 rw
40 21 0:40 / /srv/team\040drive rw - nfs4 server:/team rw
41 21 0:41 / /srv/team rw - xfs /dev/vdb rw
42 41 0:42 / /srv/team rw - btrfs /dev/vdc rw
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/home/me/june.ledger", "ext4"),
        ("/srv/team drive/june.ledger", "nfs4"),
        ("/srv/team/june.ledger", "btrfs"),
        ("/srv/teams/june.ledger", "ext4"),
    ],
)
def test_the_file_system_is_that_of_the_nearest_mount(tmp_path: Path, path: str, kind: str) -> None:
    mounts = tmp_path / "mountinfo"
    mounts.write_text(MOUNTS, encoding="utf-8")

    assert file_system_of(Path(path), mounts=mounts) == kind
    assert file_system_of(Path(path), mounts=tmp_path / "none") is None
