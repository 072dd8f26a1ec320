"""`coven-action memory`: the memory of a repository, as files that people approve by merging them."""

import json
import os
import re
import sys
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import click

from coven_action.adapters.repository_files import RepositoryFiles, find_repository
from coven_action.core.configuration.document import DEFAULT_PATH
from coven_action.core.configuration.mistakes import Mistake, quote, render_mistakes
from coven_action.core.configuration.parsing import parse_config
from coven_action.core.memory.entries import KINDS, Citation, MemoryEntry, Source, hash_cited_lines, is_citable
from coven_action.core.memory.entry_parsing import MAX_FILE_BYTES, parse_entry
from coven_action.core.memory.entry_rendering import render_entry
from coven_action.core.memory.grants import MemorySettings
from coven_action.core.memory.keys import (
    MEMORY_FOLDER,
    REVOKED_PATH,
    SEGMENT_ADVICE,
    build_canonical_key,
    is_denied,
    is_key,
    is_revocable,
    render_entry_path,
)
from coven_action.core.memory.listing import (
    ListedEntry,
    build_document,
    list_entries,
    render_entry_for_people,
    render_export,
    render_table,
)
from coven_action.core.memory.revocations import append_revocation, find_revocations, parse_revocations
from coven_action.core.memory.screens import screen_proposal
from coven_action.core.patches.file_difference import render_difference
from coven_action.core.redaction.redactor import Redactor
from coven_action.errors import DocumentError, EnvironmentFault

LARGEST_ID: Final = 2**63 - 1
ID_ADVICE: Final = (
    "Ids need the repository's numeric id: --repository-id, or GITHUB_REPOSITORY_ID; "
    "`gh api repos/OWNER/NAME --jq .id` prints it."
)

_directory = click.option(
    "--directory",
    "-C",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    default=".",
    help="A folder of the repository.  [the current one]",
)
_repository_id = click.option(
    "--repository-id",
    type=click.IntRange(1, LARGEST_ID),
    envvar="GITHUB_REPOSITORY_ID",
    help="The repository's numeric id, which the ids of entries are made from.  [GITHUB_REPOSITORY_ID]",
)


class _EitherStore(click.Group):
    """The commands for files, or with --endpoint those for an endpoint; the second cost nobody else anything."""

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        endpoint = ctx.params.get("endpoint")
        if not endpoint:
            return super().get_command(ctx, cmd_name)
        from coven_action.cli import memory_endpoint  # noqa: PLC0415

        return memory_endpoint.command.get_command(ctx, cmd_name)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        from coven_action.cli import memory_endpoint  # noqa: PLC0415

        super().format_commands(ctx, formatter)
        listed = memory_endpoint.command.commands.items()
        with formatter.section("Commands with --endpoint"):
            formatter.write_dl([(name, each.get_short_help_str(70)) for name, each in listed])


@click.group(name="memory", cls=_EitherStore)
@click.option("--endpoint", envvar="COVEN_ENDPOINT", metavar="URL", help="Work on an endpoint.  [COVEN_ENDPOINT]")
@click.option("--tenant", envvar="COVEN_TENANT", help="The account there, where it has several.  [COVEN_TENANT]")
@click.pass_context
def command(context: click.Context, endpoint: str | None, tenant: str | None) -> None:
    r"""Keep what familiars remember of this repository: files that people approve by merging them.

    An entry is one fact, with the lines of the repository that show it: .github/coven/memory/NAMESPACE/NAME.md. Runs read
    the entries of the default branch, each only while the lines it cites are unchanged. These commands work on the files
    of the checkout; nothing leaves the machine.

    \b
    coven-action memory add conventions/rounding --kind convention \
      --text "Totals are rounded once, at the end." --cite src/tax.py:40-42 --person octocat
    git add .github/coven/memory && git commit        # merging it approves it
    coven-action memory list                          # active, stale, expired, revoked
    coven-action memory revoke conventions/rounding --repository-id 12345

    With --endpoint the commands work on the memory that an endpoint keeps; COVEN_TOKEN holds the token.

    \b
    coven-action memory --endpoint http://127.0.0.1:8766 list --state pending
    coven-action memory --endpoint http://127.0.0.1:8766 approve mem_0123456789abcdef
    """
    context.obj = {"endpoint": endpoint, "tenant": tenant, "token": os.environ.get("COVEN_TOKEN")}


@command.command(name="list")
@_directory
@_repository_id
@click.option("--json", "as_json", is_flag=True, help="One JSON array instead of a table.")
def list_command(directory: Path, repository_id: int | None, *, as_json: bool) -> None:
    """Show every entry with its state: active, stale, expired, revoked or broken.

    stale: the lines it cites have changed. broken: `coven-action memory check` says where its mistakes are.
    """
    files = _find(directory)
    entries = _list(files, repository_id)
    if find_revocations(_read_all(files)).mistakes:
        click.echo(f"{REVOKED_PATH} has mistakes: until they are mended no run uses any entry.", err=True)
    if as_json:
        click.echo(json.dumps([build_document(listed) for listed in entries], indent=2))
        return
    if not entries:
        click.echo(f"No entries in {MEMORY_FOLDER}. `coven-action memory add --help` shows how to write one.")
        return
    click.echo(render_table(entries))
    for listed in entries:
        if listed.note:
            click.echo(f"{listed.name}: {listed.state}: {listed.note}")
    if repository_id is None:
        click.echo(ID_ADVICE, err=True)


@command.command(name="show")
@click.argument("key", metavar="NAMESPACE/NAME")
@_directory
@_repository_id
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def show_command(key: str, directory: Path, repository_id: int | None, *, as_json: bool) -> None:
    """Show one entry: its names, state, source, citations and text."""
    listed = next((entry for entry in _list(_find(directory), repository_id) if entry.key == key), None)
    if listed is None:
        raise EnvironmentFault("memory-not-found", f"There is no entry {quote(key)} in {MEMORY_FOLDER}.")
    click.echo(json.dumps(build_document(listed), indent=2) if as_json else render_entry_for_people(listed))


@command.command(name="check")
@_directory
def check_command(directory: Path) -> None:
    """Tell every mistake of the entries and of revoked.txt, with file, line and column.

    Stale citations are held against the files of the checkout. Exit code 1 when there is a mistake; an expired or revoked
    entry is none.
    """
    files = _find(directory)
    entries = _list(files, None)
    found: dict[str, tuple[Mistake, ...]] = {REVOKED_PATH: find_revocations(_read_all(files)).mistakes}
    # A revoked entry is read by nobody, so nobody needs to mend it.
    found |= {listed.path: listed.mistakes for listed in entries if listed.state != "revoked"}
    count = sum(map(len, found.values()))
    for path, mistakes in found.items():
        if mistakes:
            click.echo(_render_mistakes(mistakes, path))
    states = Counter(listed.state for listed in entries)
    summary = ", ".join(f"{number} {state}" for state, number in states.items()) or "no entries"
    click.echo(f"{summary}. {'1 error' if count == 1 else f'{count} errors'}.")
    sys.exit(1 if count else 0)


@command.command(name="add")
@click.argument("key", metavar="NAMESPACE/NAME")
@click.option("--kind", type=click.Choice(KINDS), required=True, help="What kind of knowledge it is.")
@click.option("--text", required=True, help="The fact, at most 2 KiB; `-` reads it from standard input.")
@click.option(
    "--cite",
    "cited",
    metavar="PATH:LINE[-LINE]",
    multiple=True,
    required=True,
    help="Lines that show it, such as src/tax.py:40-42. Their hash is computed; can be given several times.",
)
@click.option("--branch", "branches", multiple=True, help="A base branch that may see it.  [the default branch]")
@click.option("--shareable", is_flag=True, help="Runs on outsiders' texts may read it too.")
@click.option(
    "--expires",
    type=click.DateTime(["%Y-%m-%d"]),
    help="Its last day.  [memory.retention.max_age from today, a year unless configured]",
)
@click.option("--person", envvar="GITHUB_ACTOR", required=True, help="Who says so, for people to ask.  [GITHUB_ACTOR]")
@click.option("--force", is_flag=True, help="Write over an entry that says something else.")
@_directory
def add_command(
    *,
    key: str,
    kind: Any,
    text: str,
    cited: tuple[str, ...],
    branches: tuple[str, ...],
    shareable: bool,
    expires: datetime | None,
    person: str,
    force: bool,
    directory: Path,
) -> None:
    """Write an entry, ready to commit. A merge to the default branch approves it."""
    if not is_key(key):
        raise click.UsageError(f"{quote(key)} is no key: write NAMESPACE/NAME, each {SEGMENT_ADVICE}.")
    files = _find(directory)
    entry = MemoryEntry(
        key=key,
        kind=kind,
        scope="repo",
        text=_read_text(text),
        branches=branches,
        shareable=shareable,
        citations=tuple(_cite(files, place) for place in cited),
        source=Source(person=person),
        expires=expires.date() if expires else get_today() + timedelta(days=_read_settings(files).max_age_days),
    )
    # An argument that is no UTF-8 arrives as surrogates; passed on they are refused as what they are.
    path, content = render_entry_path(key), render_entry(entry).encode("utf-8", "surrogatepass")
    mistakes = parse_entry(content, path=path, redactor=Redactor.build()).mistakes
    if mistakes:
        click.echo(_render_mistakes(mistakes, path), err=True)
        click.echo("Nothing was written.", err=True)
        sys.exit(1)
    _write_entry(files, path, content, force=force)
    objection = screen_proposal(entry.text, Redactor.build())
    if objection is not None:
        click.echo(
            f"Note: the text {objection.sentence}. A run could not propose it; whoever merges it answers for it."
        )


def _write_entry(files: RepositoryFiles, path: str, content: bytes, *, force: bool) -> None:
    existing = files.find(path)
    if existing == content:
        click.echo(f"unchanged  {path}")
        return
    if existing is not None and not force:
        click.echo(render_difference(existing.decode("utf-8", "replace"), content.decode(), path=path))
        raise EnvironmentFault("file-differs", f"{path} would be changed as shown; nothing was written.")
    files.write({path: content})
    click.echo(f"{'replaced' if existing is not None else 'written':<10} {path}")
    click.echo("Commit it: merging it to the default branch approves it.")


@command.command(name="revoke")
@click.argument("key", metavar="KEY")
@_directory
@_repository_id
def revoke_command(key: str, directory: Path, repository_id: int | None) -> None:
    """Take an entry back: add it to revoked.txt. From the merge on no run reads it, and none may propose it again.

    KEY is NAMESPACE/NAME, a NAMESPACE with everything in it, or a canonical key such as repo/12345/conventions/rounding.
    """
    files = _find(directory)
    canonical = _build_revoked_key(key, repository_id)
    data = files.find(REVOKED_PATH)
    if canonical in parse_revocations(data).keys:
        click.echo(f"{canonical} is revoked already.")
        return
    files.write({REVOKED_PATH: append_revocation(data, canonical)})
    named = re.sub(r"\Arepo/[0-9]+", "repo/1", canonical)
    covered = [
        listed.name
        for listed in _list(files, None)
        if listed.key and is_denied(build_canonical_key(1, listed.key), [named])
    ]
    click.echo(f"written    {REVOKED_PATH}: {canonical}")
    click.echo(f"It covers {', '.join(covered)}." if covered else "No entry of the checkout has this key.")
    click.echo("Commit it: it counts from the merge to the default branch on.")


def _build_revoked_key(key: str, repository_id: int | None) -> str:
    if is_revocable(key):
        return key
    if repository_id is None:
        raise EnvironmentFault("repository-id-needed", f"{quote(key)} is no canonical key, and its id is unknown here.")
    canonical = build_canonical_key(repository_id, key)
    if not is_revocable(canonical):
        raise click.UsageError(f"{quote(key)} is no key: write NAMESPACE/NAME or NAMESPACE, each {SEGMENT_ADVICE}.")
    return canonical


@command.command(name="export")
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    required=True,
    help="The JSONL file; its manifest with the digests is written beside it, as OUTPUT.manifest.json.",
)
@_directory
@_repository_id
def export_command(output: Path, directory: Path, repository_id: int | None) -> None:
    """Write every entry as a line of JSON, whatever its state, and a manifest with their digests."""
    if repository_id is None:
        raise EnvironmentFault("repository-id-needed", "An export names its entries by id.")
    entries = _list(_find(directory), repository_id)
    lines, manifest = render_export(entries, repository_id=repository_id, exported_on=get_today())
    target = output.resolve()
    names = {target.name: lines, f"{target.name}.manifest.json": manifest}
    RepositoryFiles(target.parent).write(names)
    for name in names:
        click.echo(f"written    {target.parent / name}")
    left_out = sum(listed.entry is None for listed in entries)
    if left_out:
        click.echo(f"{left_out} left out, with the reasons in the manifest.", err=True)


def get_today() -> date:
    """Return the day it is, in UTC."""
    return datetime.now(UTC).date()


def _find(directory: Path) -> RepositoryFiles:
    files = find_repository(directory)
    if files is None:
        raise EnvironmentFault("no-repository", f"{directory} is in no git repository.")
    return files


def _list(files: RepositoryFiles, repository_id: int | None) -> tuple[ListedEntry, ...]:
    return list_entries(
        _read_all(files),
        repository_id=repository_id,
        today=get_today(),
        read_file=lambda path: _read(files, path),
        redactor=Redactor.build(),
    )


def _read_all(files: RepositoryFiles) -> dict[str, bytes | None]:
    folder = files.root / MEMORY_FOLDER
    paths = sorted(path.relative_to(files.root).as_posix() for path in folder.rglob("*") if not _is_folder(path))
    return {path: _read(files, path) for path in paths}


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def _read(files: RepositoryFiles, path: str) -> bytes | None:
    """Return a file's content, None where there is no ordinary file: a link proves nothing and is no entry."""
    try:
        return files.find(path)
    except EnvironmentFault:
        return None


def _read_text(text: str) -> str:
    if text != "-":
        return text.strip()
    data = sys.stdin.buffer.read(MAX_FILE_BYTES + 1)
    try:
        return data.decode("utf-8").strip()
    except UnicodeDecodeError as error:
        raise DocumentError("memory-not-utf-8", "Standard input is not UTF-8.") from error


def _read_settings(files: RepositoryFiles) -> MemorySettings:
    data = files.find(DEFAULT_PATH)
    return MemorySettings() if data is None else parse_config(data.decode("utf-8", "surrogateescape")).memory


def _cite(files: RepositoryFiles, place: str) -> Citation:
    match = re.fullmatch(r"(.+):([0-9]{1,7})(?:-([0-9]{1,7}))?", place)
    if match is None or not is_citable(match[1]):
        raise click.UsageError(f"--cite {quote(place)}: write PATH:LINE or PATH:FIRST-LAST, such as src/tax.py:40-42.")
    start, end = int(match[2]), int(match[3] or match[2])
    digest = hash_cited_lines(_read(files, match[1]), start, end)
    if digest is None:
        raise EnvironmentFault("memory-not-citable", f"{quote(place)[1:-1]} does not name lines of the checkout.")
    return Citation(path=match[1], start=start, end=end, sha256=digest)


def _render_mistakes(mistakes: tuple[Mistake, ...], path: str) -> str:
    # The closing line counts one file alone, and nothing would have been run here.
    return render_mistakes(mistakes, path=quote(path)[1:-1]).rpartition("\n")[0]
