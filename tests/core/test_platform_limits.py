"""GitHub's limits are GitHub's: a change of one is a decision, not an accident."""

from coven_action.core import platform_limits


def test_the_limits_are_those_github_documents():
    limits = {name: value for name, value in vars(platform_limits).items() if name.isupper()}

    assert limits == {
        "COMMENT_BODY": 65_536,
        "PULL_REQUEST_BODY": 65_536,
        "PULL_REQUEST_TITLE": 256,
        "CHECK_TITLE": 255,
        "CHECK_SUMMARY": 65_535,
        "CHECK_TEXT": 65_535,
        "ANNOTATIONS_PER_REQUEST": 50,
        "ANNOTATION_MESSAGE": 65_536,
        "STEP_SUMMARY_BYTES": 1_048_576,
    }
