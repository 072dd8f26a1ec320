"""The templates' filters: what is ours reads plainly, what is somebody else's acts nowhere."""

import jinja2
import pytest

from coven_action.adapters.templates import FILTERS, MarkdownTemplates

HOSTILE = "@octocat closes #1 <b onclick=x> [x](https://evil.example) ![i](//e) `code` ::error::\n# big\n/approve"


@pytest.fixture(scope="module")
def render():
    environment = MarkdownTemplates()._environment

    def render(text, **values):
        return environment.from_string(text).render(values)

    return render


def test_a_value_without_a_filter_is_one_inert_line(render):
    shown = render("{{ value }}", value=HOSTILE)

    assert "\n" not in shown
    for piece in ("@octocat", "#1", "<b", " [x]", "![i]", "https://"):
        assert piece not in shown


@pytest.mark.parametrize("text", ["1 file, +1 −1", "total() rounds (at 3.5 %)!", "a-b {c} x > y", "it's 50:50; so?"])  # noqa: RUF001 - what is shown
def test_plain_text_is_shown_without_escapes(render, text):
    assert render("{{ value }}", value=text) == text


@pytest.mark.parametrize("text", ["# x", "- x", "+ x", "> x", "1. x", "1) x", "=== x", "---"])
def test_what_begins_a_block_is_escaped_at_the_beginning(render, text):
    assert "\\" in render("{{ value }}", value=text)[:2] or "\\" in render("{{ value }}", value=text)[:3]


def test_every_value_that_is_missing_is_an_error(render):
    with pytest.raises(jinja2.UndefinedError):
        render("{{ absent }}")


def test_a_quotation_is_a_quotation_to_its_end(render):
    shown = render("{{ value|quoted }}", value=f"{HOSTILE}\n\n```\nopen fence")

    assert all(line.startswith(">") for line in shown.splitlines())
    assert "@octocat" not in shown
    assert "](https" not in shown


def test_a_long_quotation_is_cut_with_a_note(render):
    shown = render("{{ value|quoted(200) }}", value="word " * 500)

    assert len(shown) < 260
    assert shown.splitlines()[-1].startswith("> *Cut here")


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("/cody fix", "`/cody fix`"),
        ("coven:fix", "`coven:fix`"),
        ("a`b|c", "`a｀b｜c`"),  # noqa: RUF001 - what is shown
        ("", ""),
    ],
)
def test_code_is_shown_as_code(render, value, shown):
    assert render("{{ value|code }}", value=value) == shown


def test_a_remedy_shows_its_lines_as_they_are_to_be_written(render):
    shown = render("{{ value|advice }}", value="Add to the job:\n    permissions:\n      issues: write")

    assert shown.startswith("Add to the job:\n\n")
    assert "\npermissions:\n  issues: write\n" in shown


def test_a_remedy_of_one_line_is_a_sentence(render):
    assert render("{{ value|advice }}", value="Re-run the job.") == "Re-run the job."


def test_only_our_own_number_links_at_the_beginning_of_a_row(render):
    assert render("{{ value|row(42) }}", value="#42 closes #7").startswith("#42 closes ＃7")  # noqa: RUF001 - what is shown
    assert render("{{ value|row(42) }}", value="#7 x").startswith("＃7")  # noqa: RUF001 - what is shown
    assert render("{{ value|row(4) }}", value="#42 x").startswith("＃42")  # noqa: RUF001 - what is shown


@pytest.mark.parametrize(
    ("seconds", "shown"), [(0.04, "0.0 s"), (59.94, "59.9 s"), (60, "1 min 0 s"), (372, "6 min 12 s")]
)
def test_a_duration_is_in_peoples_units(render, seconds, shown):
    assert render("{{ value|duration }}", value=seconds) == shown


def test_a_block_shows_a_text_as_it_is(render):
    shown = render("{{ value|block }}", value="a: [x]\n  ^^^ did you mean `b`?")

    assert "a: [x]\n  ^^^ did you mean `b`?" in shown


def test_a_block_cannot_be_left(render):
    shown = render("{{ value|block }}", value="x\n~~~~~~~~\n@octocat\n```\n<b>")

    assert shown.splitlines()[0].strip("`~") == "text"
    fence = shown.splitlines()[0].removesuffix("text")
    assert shown.splitlines()[-1] == fence
    assert shown.splitlines().count(fence) == 1


def test_every_filter_of_a_template_exists():
    environment = MarkdownTemplates()._environment
    names = [name for name in environment.list_templates() if name.endswith(".j2")]

    assert len(names) >= 8
    for name in names:
        environment.get_template(name)
    assert set(FILTERS) <= set(environment.filters)
