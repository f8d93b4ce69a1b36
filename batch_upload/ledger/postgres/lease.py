"""The right to write to the lanes of a database."""

from batch_upload.moments import Stretch


class OpenLease:
    """`ports.LaneLease` that everybody has, and that notes nothing: every run lists its lane before it creates."""

    @property
    def stretch(self) -> Stretch | None:
        return None

    def last_run_id(self, lane_id: int) -> str | None:
        return None

    def begin(self, lane_id: int, run_id: str) -> None:
        pass

    def sync(self) -> None:
        pass

    def steady(self, stretch: Stretch) -> None:
        pass

    def release(self) -> None:
        pass
