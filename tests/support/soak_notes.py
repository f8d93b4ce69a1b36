"""A plugin of pytest that notes each long test that has passed, so that it is not run again (soak.py)."""

import pytest

from tests.support.soak import note


class Notes:
    """Hears of every test that ends."""

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note it, if it has passed."""
        if report.when == "call" and report.passed:
            note({"passed": report.nodeid, "seconds": round(report.duration, 1)})


def pytest_configure(config: pytest.Config) -> None:
    """Listen where the reports are gathered: with xdist, workers tell theirs to that process."""
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(Notes())
