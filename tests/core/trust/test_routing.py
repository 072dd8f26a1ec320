"""Which familiar answers, and why."""

import pytest

from coven_action.core.configuration.config import Config, Familiar, Rule
from coven_action.core.configuration.document import When
from coven_action.core.refusals import Refusal
from coven_action.core.trust.events import Command
from coven_action.core.trust.routing import Route, decide_route
from coven_action.error_codes import CODES
from tests import payloads
from tests.core.samples import commented, dispatched, labeled, read_event

CODY = Familiar(id="cody", display_name="Cody")
NOVA = Familiar(id="nova", display_name="Nova", assignee="nova-bot")
ONE = Config(familiars={"cody": CODY}, rules=(Rule(when=When(label="coven:fix"), familiar="cody"),))
TWO = Config(
    familiars={"cody": CODY, "nova": NOVA},
    rules=(
        Rule(when=When(assignee="nova-bot"), familiar="nova"),
        Rule(when=When(label="coven:fix"), familiar="cody"),
        Rule(when=When(label="coven:fix"), familiar="nova"),
    ),
)
SHOUTED = ONE.model_copy(update={"rules": (Rule(when=When(label="COVEN:Fix"), familiar="cody"),)})
COMMANDS_ONLY = TWO.model_copy(update={"rules": ()})


def assigned(login):
    return read_event("issues", payloads.build_issues_assigned(login))


@pytest.mark.parametrize(
    ("event", "config", "familiar", "why", "asked_with"),
    [
        (labeled(), ONE, "cody", "rule 1 of the routing: the label coven:fix", "coven:fix"),
        (labeled(), TWO, "cody", "rule 2 of the routing: the label coven:fix", "coven:fix"),
        (labeled(label="Coven:FIX"), ONE, "cody", "rule 1 of the routing: the label Coven:FIX", "Coven:FIX"),
        (labeled(), SHOUTED, "cody", "rule 1 of the routing: the label coven:fix", "coven:fix"),
        (assigned("nova-bot"), TWO, "nova", "rule 1 of the routing: the assignment to nova-bot", "assignment"),
        (assigned("Nova-Bot"), TWO, "nova", "rule 1 of the routing: the assignment to Nova-Bot", "assignment"),
        (commented("/nova fix"), TWO, "nova", "named by /nova fix", "/nova fix"),
        (commented("/nova fix"), COMMANDS_ONLY, "nova", "named by /nova fix", "/nova fix"),
        (commented("/coven fix"), ONE, "cody", "the only familiar here", "/coven fix"),
        (commented("/coven fix"), TWO, "nova", "rule 1 of the routing", "/coven fix"),
        (dispatched(), ONE, "cody", "the only familiar here", "workflow dispatch"),
        (dispatched(), TWO, "nova", "rule 1 of the routing", "workflow dispatch"),
        (dispatched(), ONE.model_copy(update={"rules": ()}), "cody", "the only familiar here", "workflow dispatch"),
    ],
)
def test_the_first_rule_that_holds_answers_and_says_why(event, config, familiar, why, asked_with):
    route = decide_route(event, config)

    assert isinstance(route, Route)
    assert (route.familiar.id, route.why, route.asked_with) == (familiar, why, asked_with)


@pytest.mark.parametrize(
    ("event", "config", "code", "quiet"),
    [
        (labeled(label="bug"), ONE, "not-routed", True),
        (labeled(label="coven:fixed"), ONE, "not-routed", True),
        (labeled(label="coven:fix "), ONE, "not-routed", True),
        (labeled(label="coven:\uff46ix"), ONE, "not-routed", True),
        (labeled(), COMMANDS_ONLY, "not-routed", True),
        (assigned("ada"), TWO, "not-routed", True),
        (assigned("nova-bot2"), TWO, "not-routed", True),
        (commented("/nova fix"), ONE, "not-a-command", True),
        (commented("/usr bin"), ONE, "not-a-command", True),
        (commented("/cody dance"), ONE, "unknown-command", False),
        (commented("/coven review"), ONE, "unknown-command", False),
        (commented("/coven fix"), COMMANDS_ONLY, "familiar-not-named", False),
        (dispatched(), COMMANDS_ONLY, "familiar-not-named", False),
    ],
)
def test_what_nobody_answers_is_refused_and_told_only_to_whom_it_concerns(event, config, code, quiet):
    refusal = decide_route(event, config)

    assert isinstance(refusal, Refusal)
    assert (refusal.code, refusal.quiet) == (code, quiet)
    assert CODES[code].refusal


@pytest.mark.parametrize(
    ("event", "config", "said", "remedy"),
    [
        (labeled(label="bug"), ONE, "answers issues.labeled with 'bug'", "Add a rule to `routing`"),
        (assigned("ada"), ONE, "answers issues.assigned with 'ada'", "Add a rule to `routing`"),
        (commented("/nova fix"), ONE, "addresses nobody here", ""),
        (commented("/cody dance"), ONE, "`/cody dance` is not a command", "Commands:"),
        (dispatched(), COMMANDS_ONLY, "several familiars", "Name one:"),
    ],
)
def test_whoever_is_refused_learns_why_and_what_to_do(event, config, said, remedy):
    refusal = decide_route(event, config)

    assert isinstance(refusal, Refusal)
    assert said in refusal.reason
    assert refusal.remedy.startswith(remedy)
    assert bool(refusal.remedy) == bool(remedy)


def test_an_unknown_command_is_answered_with_the_known_ones():
    refusal = decide_route(commented("/cody dance"), ONE)

    assert isinstance(refusal, Refusal)
    assert refusal.remedy == "Commands: `/cody fix`."


def test_where_several_could_answer_their_commands_are_listed():
    refusal = decide_route(dispatched(), COMMANDS_ONLY)

    assert isinstance(refusal, Refusal)
    assert refusal.remedy == "Name one: `/cody fix`, `/nova fix`."


def test_all_conditions_of_a_rule_must_hold():
    both = Rule(when=When(label="coven:fix", assignee="nova-bot"), familiar="nova")
    config = TWO.model_copy(update={"rules": (both,)})

    for event in (labeled(), assigned("nova-bot")):
        assert isinstance(decide_route(event, config), Refusal)


def test_a_rule_without_a_condition_answers_nothing():
    config = ONE.model_copy(update={"rules": (Rule(when=When(), familiar="cody"),)})

    for event in (labeled(), labeled(label="bug"), assigned("nova-bot")):
        assert isinstance(decide_route(event, config), Refusal)


def test_a_familiar_cannot_take_over_the_products_own_command():
    config = ONE.model_copy(update={"familiars": {**TWO.familiars, "coven": NOVA}, "rules": ONE.rules})
    event = commented("/coven fix")

    route = decide_route(event, config)

    assert event.command == Command(addressee="coven", verb="fix")
    assert isinstance(route, Route)
    assert route.familiar.id == "cody"
