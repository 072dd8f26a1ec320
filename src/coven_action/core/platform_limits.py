"""GitHub's size limits, in one place. Texts are cut to them with a note; nothing is ever rejected for its length.

https://docs.github.com/en/rest/checks/runs and the limits GitHub answers with 422.
"""

from typing import Final

COMMENT_BODY: Final = 65_536
PULL_REQUEST_BODY: Final = 65_536
PULL_REQUEST_TITLE: Final = 256
CHECK_TITLE: Final = 255
CHECK_SUMMARY: Final = 65_535
CHECK_TEXT: Final = 65_535
ANNOTATIONS_PER_REQUEST: Final = 50
ANNOTATION_MESSAGE: Final = 64 * 1024
STEP_SUMMARY_BYTES: Final = 1024 * 1024
