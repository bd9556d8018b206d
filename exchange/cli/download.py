"""The progress of a first download, drawn only if there is one."""

from __future__ import annotations

from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn

from exchange.cli import show
from exchange.embedded.jars import Progress as Seen


class Download:
    """Tells the size first, then how far it is; silent when `shown` is false."""

    def __init__(self, *, shown: bool) -> None:
        columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn())
        self._bar = Progress(*columns, console=show.console, transient=True) if shown else None
        self._task: TaskID | None = None

    def __enter__(self) -> Seen | None:
        return self._seen if self._bar is not None else None

    def __exit__(self, *_: object) -> None:
        if self._bar is not None and self._task is not None:
            self._bar.stop()

    def _seen(self, done_bytes: int, total_bytes: int) -> None:
        if self._bar is None:
            return
        if self._task is None:
            self._bar.start()
            told = show.tr("Apache Kafka, une seule fois", "Apache Kafka, once only")
            self._task = self._bar.add_task(f"{told} ({total_bytes / 1e6:.0f} MB)", total=total_bytes)
        self._bar.update(self._task, completed=done_bytes)
