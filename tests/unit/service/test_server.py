"""The server's worker processes, as their supervisor sees them."""

from service.connection import Config, Patience
from service.server import Worker


class GoneProcess:
    """A process that ends as soon as it is started, and holds nothing open."""

    def start(self) -> None:
        """Start and end."""


def test_the_end_of_a_worker_is_seen_at_once() -> None:
    """Whoever asks a worker that is gone learns it from the closed pipe, without waiting."""
    worker = Worker(Config("service.app:create_app", Patience(), factory=True), [])
    worker.process = GoneProcess()

    worker.start()

    assert worker.parent_conn.poll(0)
    assert not worker.ping()
