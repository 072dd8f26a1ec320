"""Decide which familiar answers an event, and say why. Pure: event and configuration in, `Route` or `Refusal` out.

The first rule whose conditions all hold wins. A command that names a familiar takes that one; `/coven fix` and a dispatch
take the only familiar, else the first rule whose conditions hold when label and assignee are left aside.
"""

from typing import Final

from coven_action.core.configuration.config import Config, Familiar, Rule
from coven_action.core.records import Record
from coven_action.core.refusals import Refusal
from coven_action.core.trust.events import Command, TriggerEvent

PRODUCT_COMMAND: Final = "coven"
VERBS: Final = ("fix",)


class Route(Record):
    """Who answers, why, and with what it was asked (shown to people)."""

    familiar: Familiar
    why: str
    asked_with: str


def decide_route(event: TriggerEvent, config: Config) -> Route | Refusal:
    """Return who answers the event."""
    if event.command is not None:
        return _route_command(event.command, config)
    if event.event_name == "workflow_dispatch":
        return _route_unaddressed(config, "workflow dispatch")
    return _route_rules(event, config)


def _route_rules(event: TriggerEvent, config: Config) -> Route | Refusal:
    for number, rule in enumerate(config.rules, 1):
        if _holds(rule, event):
            name = f"the label {event.label}" if event.label else f"the assignment to {event.assignee_login}"
            return Route(
                familiar=config.familiar(rule.familiar),
                why=f"rule {number} of the routing: {name}",
                asked_with=event.label or "assignment",
            )
    return Refusal(
        code="not-routed",
        reason=f"No routing rule answers {event.described} with {event.label or event.assignee_login!r}.",
        remedy="Add a rule to `routing` in .github/coven.yml if it should start work.",
        quiet=True,
    )


def _holds(rule: Rule, event: TriggerEvent) -> bool:
    pairs = ((rule.when.label, event.label), (rule.when.assignee, event.assignee_login))
    wanted = [(want, got) for want, got in pairs if want is not None]
    # Logins are case-insensitive at GitHub, and so are label names. A rule without a condition answers nothing.
    return bool(wanted) and all(got is not None and want.casefold() == got.casefold() for want, got in wanted)


def _route_command(command: Command, config: Config) -> Route | Refusal:
    if command.addressee != PRODUCT_COMMAND and command.addressee not in config.familiars:
        return Refusal(code="not-a-command", reason="The comment addresses nobody here.", quiet=True)
    said = f"/{command.addressee} {command.verb}"
    if command.verb not in VERBS:
        return Refusal(
            code="unknown-command",
            reason=f"`{said}` is not a command of this version.",
            remedy=f"Commands: {', '.join(f'`/{command.addressee} {verb}`' for verb in VERBS)}.",
        )
    if command.addressee == PRODUCT_COMMAND:
        return _route_unaddressed(config, said)
    return Route(familiar=config.familiar(command.addressee), why=f"named by {said}", asked_with=said)


def _route_unaddressed(config: Config, asked_with: str) -> Route | Refusal:
    if len(config.familiars) == 1:
        familiar = next(iter(config.familiars.values()))
        return Route(familiar=familiar, why="the only familiar here", asked_with=asked_with)
    # Label and assignee are the only conditions of this version, and both are left aside: the first rule holds.
    for number, rule in enumerate(config.rules, 1):
        return Route(
            familiar=config.familiar(rule.familiar), why=f"rule {number} of the routing", asked_with=asked_with
        )
    return Refusal(
        code="familiar-not-named",
        reason="This repository has several familiars and no rule says which one answers.",
        remedy="Name one: " + ", ".join(f"`/{name} fix`" for name in config.familiars) + ".",
    )
