"""How a script ends that measures what must hold."""

from collections.abc import Sequence
from pathlib import Path

from records import RELIABILITY, Record, write_record


def conclude(record: Record, findings: Sequence[str], folder: Path = RELIABILITY) -> int:
    """Keep a record, tell what does not hold, and return the exit status: 1 where that is anything.

    Args:
        record: What was measured.
        findings: What does not hold.
        folder: Where the record is kept.
    """
    write_record(record, folder)
    print(*(text for text in (record.remark, *findings) if text), sep="\n")
    return int(bool(findings))
