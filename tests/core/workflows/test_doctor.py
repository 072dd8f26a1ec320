"""The doctor says only what can be known, and always what to do."""

import pytest

from coven_action.core.contract.platforms import describe_platform
from coven_action.core.sandbox.probes import Attempt
from coven_action.core.workflows.doctor import (
    UNREADABLE,
    check_default_configuration,
    check_git,
    check_isolation,
    check_job,
    check_platform,
    check_python,
    check_token,
    describe_error,
    describe_readable,
    describe_repository,
    has_error,
)
from coven_action.errors import GitHubError


@pytest.mark.parametrize(
    ("version", "level", "fact"),
    [
        ((3, 10, 9), "error", "3.10.9 is too old"),
        ((3, 11, 0), "ok", "3.11.0"),
        ((3, 14, 2), "ok", "3.14.2; this version was tested on Python 3.11 on Linux"),
    ],
)
def test_python_is_new_enough_or_not(version, level, fact):
    diagnosis = check_python(version)

    assert (diagnosis.level, diagnosis.fact) == (level, fact)
    assert bool(diagnosis.remedy) == (level != "ok")


@pytest.mark.parametrize(
    ("answer", "level", "fact"),
    [
        ("git version 2.35.0\n", "ok", "2.35.0"),
        ("git version 2.39.5 (Apple Git-154)\n", "ok", "2.39.5"),
        ("git version 3.0\n", "ok", "3.0"),
        ("git version 2.47.1.windows.2\n", "ok", "2.47.1"),
        ("git version 2.34.9\n", "error", "2.34.9 is older than 2.35"),
        ("git version 1.99\n", "error", "1.99 is older than 2.35"),
        ("hub version 2.50\n", "error", "what answers as git is none"),
        ("", "error", "what answers as git is none"),
        (None, "error", "git could not be started"),
    ],
)
def test_git_is_new_enough_or_not(answer, level, fact):
    diagnosis = check_git(answer)

    assert (diagnosis.level, diagnosis.fact) == (level, fact)
    assert bool(diagnosis.remedy) == (level != "ok")


def test_an_old_git_is_told_why():
    assert "GIT_CONFIG_GLOBAL" in check_git("git version 2.30.2").remedy


@pytest.mark.parametrize(("system", "level"), [("Linux", "ok"), ("Darwin", "warning"), ("Windows", "error")])
def test_each_platform_has_its_answer(system, level):
    assert check_platform(describe_platform(system, "x86_64")).level == level


@pytest.mark.parametrize(
    ("level", "backend", "fact"),
    [("none", "none", "its model key included"), ("partial", "landlock", "limited and not closed")],
)
def test_less_than_a_sandbox_says_what_it_means_and_what_starts(level, backend, fact):
    diagnosis = check_isolation(Attempt(backend=backend, level=level))

    assert diagnosis.level == "warning"
    assert fact in diagnosis.fact
    assert f"isolation: {level}" in diagnosis.remedy


def test_a_sandbox_that_holds_is_well():
    diagnosis = check_isolation(Attempt(backend="bubblewrap", level="enforced"))

    assert diagnosis.level == "ok"
    assert "bubblewrap" in diagnosis.fact


def test_outside_a_job_the_machine_is_not_the_runner():
    assert "not the runner" not in check_job(in_job=True).fact
    assert "not of the runner" in check_job(in_job=False).fact


@pytest.mark.parametrize("prefix", ["ghp_", "github_pat_", "gho_", "ghu_"])
def test_a_person_s_credential_is_an_error_and_is_not_shown(prefix):
    diagnosis = check_token(prefix + "s3cret", name="GITHUB_TOKEN")

    assert diagnosis.level == "error"
    assert "s3cret" not in diagnosis.fact + diagnosis.remedy


@pytest.mark.parametrize(("token", "level"), [("ghs_abc", "ok"), ("abc", "warning"), (None, "warning")])
def test_other_tokens_are_named_by_their_form(token, level):
    diagnosis = check_token(token, name="GITHUB_TOKEN")

    assert diagnosis.level == level
    assert "abc" not in diagnosis.fact


@pytest.mark.parametrize(
    ("mistakes", "level", "words"),
    [
        (None, "error", "has no f"),
        (0, "ok", "valid"),
        (1, "error", "1 mistake"),
        (2, "error", "2 mistakes"),
    ],
)
def test_the_configuration_of_the_default_branch_is_judged(mistakes, level, words):
    diagnosis = check_default_configuration("f", mistakes)

    assert diagnosis.level == level
    assert words in diagnosis.fact


def test_what_nobody_can_read_names_the_page_where_a_person_sees_it():
    assert any("Settings → Actions → General" in diagnosis.remedy for diagnosis in UNREADABLE)
    assert not has_error(UNREADABLE)


def test_a_failed_request_keeps_its_remedy():
    diagnosis = describe_error("GitHub", GitHubError("bad-credentials", "GitHub does not accept the token."))

    assert diagnosis.level == "error"
    assert diagnosis.remedy
    assert has_error((describe_repository("a/b", "u"), describe_readable("x"), diagnosis))
