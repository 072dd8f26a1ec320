"""From the text of `.github/coven.yml` to a `Config`, or to every mistake in it at once, each with its place.

Pure. YAML gives a tree with places, pydantic and the rules give findings with paths, and this module joins the two.
"""

from pydantic import ValidationError

from coven_action.core.checks.results import CheckCommand
from coven_action.core.configuration.config import Config, Familiar, Limits, Rule
from coven_action.core.configuration.document import (
    DEFAULT_LABEL,
    DEFAULT_PATH,
    ConfigDocument,
    When,
    WrittenCheck,
    WrittenFamiliar,
    WrittenMemory,
    WrittenRule,
)
from coven_action.core.configuration.findings import build_findings, build_mistake
from coven_action.core.configuration.mistakes import InvalidConfigError, Mistake
from coven_action.core.configuration.quantities import SECONDS
from coven_action.core.configuration.rules import Finding, find_rule_mistakes
from coven_action.core.configuration.yaml_reading import YAMLDocument, read_yaml
from coven_action.core.memory.grants import MemorySettings
from coven_action.core.verification.protected_paths import Override, Protection


def parse_config(text: str, *, path: str = DEFAULT_PATH) -> Config:
    """Return what the configuration means.

    Args:
        text: The file's content, decoded.
        path: The file's path, for messages.

    Raises:
        InvalidConfigError: With every mistake; `diagnostics()` is the text for people.
    """
    document, mistakes = _read(text)
    if document is None or mistakes:
        raise InvalidConfigError(mistakes, path=path)
    return _build_config(document)


def find_mistakes(text: str) -> tuple[Mistake, ...]:
    """Return every mistake in the text of a configuration, in its order; none means that it can be acted on."""
    return _read(text)[1]


def _build_config(document: ConfigDocument) -> Config:
    """Fill in what depends on other keys: names from ids, and the routing of an only familiar."""
    familiars = {key: _build_familiar(key, written) for key, written in document.familiars.items()}
    rules = [rule for rule in document.routing if isinstance(rule, WrittenRule)]
    default = Rule(when=When(label=DEFAULT_LABEL), familiar=next(iter(familiars)))
    return Config(
        version=document.version,
        familiars=familiars,
        rules=tuple(_build_rule(rule) for rule in rules) if document.routing else (default,),
        allow_bots=document.allow_bots,
        verify=tuple(_build_check(written) for written in document.verify),
        limits=Limits(**document.limits.model_dump()),
        protection=_build_protection(document),
        publish=document.publish,
        memory=_build_memory(document.memory),
        hosted=document.hosted,
    )


def _build_familiar(familiar_id: str, written: WrittenFamiliar) -> Familiar:
    return Familiar(
        id=familiar_id,
        display_name=written.display_name or familiar_id.capitalize(),
        model=written.model,
        runtime=written.runtime if isinstance(written.runtime, str) else written.runtime.command,
        mode=written.mode,
        hosts=written.hosts,
        skills=written.skills,
        assignee=written.assignee,
    )


def _build_check(written: WrittenCheck) -> CheckCommand:
    return CheckCommand(name=written.name, run=written.run, timeout_seconds=written.timeout, network=written.network)


def _build_protection(document: ConfigDocument) -> Protection:
    overrides = (Override(path=written.path, reason=written.reason) for written in document.protect_override)
    return Protection(protect=document.protect, overrides=tuple(overrides))


def _build_memory(written: WrittenMemory) -> MemorySettings:
    return MemorySettings(
        enabled=written.enabled,
        read=written.read,
        write=written.write,
        approval=written.approval,
        separate_approver=written.separate_approver,
        # A day that is not whole does not count: what is kept is kept no longer than written.
        max_age_days=written.retention.max_age // SECONDS["d"],
        unused_days=written.retention.unused // SECONDS["d"],
    )


def _build_rule(written: WrittenRule) -> Rule:
    return Rule(when=written.when, familiar=written.familiar, task=written.task)


def _read(text: str) -> tuple[ConfigDocument | None, tuple[Mistake, ...]]:
    tree = read_yaml(text)
    if not tree.readable:
        return None, tree.mistakes
    document, findings = _validate(tree)
    # What YAML itself refused is told once; what follows from it stands at the same place.
    told = {(mistake.line, mistake.column) for mistake in tree.mistakes}
    further = [build_mistake(finding, tree) for finding in findings]
    mistakes = [*tree.mistakes, *(mistake for mistake in further if (mistake.line, mistake.column) not in told)]
    return document, tuple(sorted(mistakes, key=lambda mistake: (mistake.line, mistake.column)))


def _validate(tree: YAMLDocument) -> tuple[ConfigDocument | None, list[Finding]]:
    value = tree.root.value
    rules = list(find_rule_mistakes(value)) if isinstance(value, dict) else []
    try:
        return ConfigDocument.model_validate(value), rules
    except ValidationError as error:
        return None, build_findings(error.errors(include_url=False), tree.root) + rules
