"""The endpoint's log: one JSON object a line, and no secret in any of them, tracebacks included."""

import json
import logging
from datetime import UTC, datetime
from typing import TextIO

from coven_action.core.redaction.redactor import Redactor
from coven_action.core.redaction.values import redact_values


class JSONFormatter(logging.Formatter):
    """Renders a record as a line.

    Args:
        redactor: Covers secrets.
    """

    def __init__(self, redactor: Redactor) -> None:
        super().__init__()
        self._redactor = redactor

    def format(self, record: logging.LogRecord) -> str:
        """Return time, level, logger, message, and the traceback where there is one."""
        document = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            document["traceback"] = self.formatException(record.exc_info)
        return json.dumps(redact_values(document, self._redactor), ensure_ascii=False)


def set_up_logging(stream: TextIO, redactor: Redactor, level: int = logging.INFO) -> None:
    """Write what this process logs to a stream, in place of whatever was set up before."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JSONFormatter(redactor))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    # It tells of each of its own parts at every start; what it changes is told by the command that asked for it.
    logging.getLogger("alembic").setLevel(logging.WARNING)
