"""The configuration's meaning: frozen, with every default filled in."""

import pytest
from pydantic import ValidationError

from coven_action.core.configuration.config import Config, Familiar, Limits, Rule
from coven_action.core.configuration.document import When

CODY = Familiar(id="cody", display_name="Cody")
CONFIG = Config(familiars={"cody": CODY}, rules=(Rule(when=When(label="coven:fix"), familiar="cody"),))


def test_the_defaults_are_those_the_documentation_promises():
    assert CONFIG.limits == Limits(time=30 * 60, turns=40, files=100, patch=4 * 1024 * 1024)
    assert (CONFIG.version, CONFIG.otherwise, CONFIG.allow_bots) == (1, "decline", ())
    assert CONFIG.publish.labels == ()
    assert (CODY.model, CODY.runtime, CODY.mode, CODY.skills, CODY.assignee) == (None, "coven-code", "repair", (), None)


def test_a_familiar_is_found_by_its_exact_id():
    assert CONFIG.familiar("cody") is CODY
    for name in ("Cody", "cody ", "nova", ""):
        with pytest.raises(KeyError):
            CONFIG.familiar(name)


@pytest.mark.parametrize(
    "changes",
    [{"version": 2}, {"otherwise": "triage"}, {"allow_bots": ("9",)}, {"memory": {"enabled": True}}, {"rules": ["x"]}],
)
def test_what_this_version_does_not_act_on_has_no_place(changes):
    with pytest.raises(ValidationError):
        Config.model_validate({**CONFIG.model_dump(), **changes})


def test_a_configuration_is_frozen():
    with pytest.raises(ValidationError):
        CONFIG.version = 1
