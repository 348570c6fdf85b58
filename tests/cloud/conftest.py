"""One local cloud for all tests of this folder: deployed as `make cloud` deploys, on free ports, in a folder of its own."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from cloud import Cloud  # noqa: E402  (needs the path above)


@pytest.fixture(scope="session")
def cloud() -> Iterator[Cloud]:
    """A local cloud on which everything is deployed and nothing has run yet; torn down by `terraform destroy`."""
    with tempfile.TemporaryDirectory(prefix="millrace-cloud-") as folder:
        cloud = Cloud(Path(folder) / "cloud")
        try:
            cloud.up()
            yield cloud
            cloud.down()
        except BaseException:
            cloud.keep_logs()
            cloud.command("down", check=False)
            raise


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The main job goes first: it counts what the first run on an empty lake makes."""
    items.sort(key=lambda item: item.path.name != "test_main_job.py")
