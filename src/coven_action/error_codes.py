"""Every failure a person can meet: one table of public codes.

An `errors.Error` ends a stage with exit code 1. A *refusal* is not an error: it is a value with a code from the same table,
and the run ends politely with exit code 0. The codes are public: `docs/errors.md` is generated from `CODES`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Code:
    """What a code means and what to do about it, in general words. `status` is HTTP's, where the endpoint answers with it."""

    meaning: str
    remedy: str
    refusal: bool = False
    status: int | None = None


CODES: Final[Mapping[str, Code]] = {
    # the configuration, .github/coven.yml
    "missing-config": Code(
        "The default branch has no .github/coven.yml.",
        "Run `coven-action init`, commit the file to the default branch, and trigger again.",
    ),
    # the mistakes of a configuration; each is told with its line and column
    "invalid-config": Code(
        "The configuration has at least one mistake; every one is listed with its place.",
        "Mend the lines that are listed; `coven-action check` reads the file without running anything.",
    ),
    "config-too-large": Code("The file is larger than a configuration may be.", "Keep it below 64 KiB."),
    "duplicate-key": Code("The same key is written twice in one mapping.", "Keep the one you mean."),
    "invalid-duration": Code("A duration is a whole number with a unit.", "Write 90s, 10m, 1h or 365d."),
    "invalid-money": Code("Money is dollars, with cents if at all, and USD.", "Write 5 USD or 0.50 USD."),
    "invalid-size": Code("A size is a whole number with a unit.", "Write 512KiB or 4MiB."),
    "invalid-value": Code("The value is none of those the key takes.", "Write what the message names."),
    "invalid-yaml": Code(
        "The file is no YAML, or holds characters that a configuration may not hold.",
        "Mend the place that the message names; the other mistakes can be told only then.",
    ),
    "missing-key": Code("A key that is needed here is not written, or is empty.", "Add it."),
    "not-yet": Code(
        "The key or value is planned, and this version does not act on it.",
        "Remove it until a version acts on it: the configuration never accepts a promise.",
    ),
    "out-of-range": Code("A number or list is beyond its bounds.", "Stay within the bounds that the message names."),
    "unknown-assignee": Code(
        "A rule waits for an account that no familiar has as its assignee.",
        "Write the machine account's login as `assignee` of a familiar; assignments to people start nothing.",
    ),
    "unknown-familiar": Code("A rule names a familiar that is not configured.", "Name one of `familiars`."),
    "unknown-key": Code("The key does not exist at this place.", "Use one of the keys that the message lists."),
    "unreachable-rule": Code("An earlier rule answers everything this one would.", "Move it up or remove it."),
    "wrong-type": Code("The value is of another kind than the key takes.", "Write the kind that the message names."),
    "yaml-feature": Code(
        "The file uses a part of YAML that hides what it says: an anchor, alias, tag, directive, merge key, second "
        "document, deep nesting, or a key that YAML does not read as text.",
        "Write it out plainly.",
    ),
    # the event that started the run
    "malformed-event": Code(
        "The webhook payload lacks something every payload of its kind has, or is no JSON object.",
        "Start the action from a workflow event; GITHUB_EVENT_PATH must point to the payload GitHub wrote.",
    ),
    # the contract with a runtime
    "malformed-result": Code(
        "The runtime wrote a result that is not a document of the contract.",
        "Look at the runtime's log; run it again, or report the fault to the runtime's makers.",
    ),
    "contract-version": Code(
        "The runtime wrote a result in a version of the contract that this release does not read.",
        "Use a runtime that writes version 2 or 3, or a release of Coven Action that reads the newer version.",
    ),
    # running a runtime
    "runtime-not-installed": Code(
        "The runtime's program is not where it was said to be, or is no executable file.",
        "Give the path of an installed coven-code, or let the action install the pinned release.",
    ),
    "runtime-not-started": Code(
        "The operating system could not start the runtime's program.",
        "Check that the program is built for this runner and that the libraries it needs are installed.",
    ),
    "runtime-not-supported": Code(
        "The program given as coven-code is something else, or a release without an option that is needed.",
        "Use coven-code 0.6.1 or newer, or let the action install the pinned release.",
    ),
    "runtime-no-archive": Code(
        "The pinned release of coven-code has no archive for this platform.",
        "Use a Linux runner on x86_64 or aarch64, or give the path of a coven-code built for this platform.",
    ),
    "runtime-download-failed": Code(
        "The archive of the runtime could not be downloaded.",
        "Run it again; behind a proxy or on a runner without internet, fill the tool cache or give the path of an "
        "installed coven-code.",
    ),
    "runtime-digest-mismatch": Code(
        "The runtime's archive or cached program is not the one whose digest is pinned.",
        "Do not run it. Remove it from the tool cache, and find out who changed it or what answers in GitHub's place.",
    ),
    "runtime-archive-refused": Code(
        "The runtime's archive is damaged, oversized, or holds something other than plain files.",
        "Compare the pinned digest with the release page; never unpack the archive by hand on the runner.",
    ),
    "runtime-cache-unusable": Code(
        "The tool cache could not be written or read.",
        "Check the permissions and the free space of the runner's tool cache (RUNNER_TOOL_CACHE).",
    ),
    "runtime-needs-sandbox": Code(
        "What would be started has a shell, and no enforced sandbox would hold it.",
        "Use a coven-code whose help lists --hosted-repair, or a runner that reaches isolation enforced.",
    ),
    "model-not-supported": Code(
        "The runtime cannot reach the model that the configuration names.",
        "Name a model of the provider anthropic in .github/coven.yml, such as anthropic/claude-sonnet-4-6.",
    ),
    "invalid-gateway": Code(
        "The address of the model gateway cannot be used.",
        "Give an address such as http://127.0.0.1:4100.",
    ),
    "isolation-unknown": Code(
        "The input isolation is none of its values.",
        "Write `with: {isolation: enforced}`, or partial, or none.",
    ),
    "isolation-not-reached": Code(
        "The workflow demands a stronger isolation than this runner and version reach.",
        "Use a runner that reaches it; only if the agent may read what this job can read, write "
        "`with: {isolation: none}`.",
    ),
    "platform-not-supported": Code(
        "Runs are not started on this platform.",
        "Use a Linux runner, such as `runs-on: ubuntu-24.04`.",
    ),
    "runtime-timeout": Code(
        "The runtime was still working at its time limit and was ended.",
        "Make the task smaller, or raise limits.time in .github/coven.yml.",
    ),
    "runtime-flooded": Code(
        "The runtime printed more than is allowed and was ended.",
        "Look at the log for what repeats itself, and run it again.",
    ),
    "runtime-crashed": Code(
        "The runtime ended in a way that its result, or the lack of one, does not explain.",
        "Look at the runtime's log, and run it again.",
    ),
    "runtime-broke-off": Code(
        "The runtime says that its model or tools failed, or that its turns were used up.",
        "Look at the runtime's log; run it again, or raise limits.turns in .github/coven.yml.",
    ),
    "runtime-not-contained": Code(
        "Processes of the runtime could not be ended, or the process that supervises them was lost.",
        "Treat the runner as compromised: take it out of service, and use ephemeral runners.",
    ),
    "runtime-no-result": Code(
        "The runtime ended without writing a result.",
        "Look at the runtime's log, and run it again.",
    ),
    "runtime-failed": Code(
        "The runtime says that it did not succeed.",
        "Look at the runtime's log; say more about the task in the issue, and ask again.",
    ),
    "nothing-changed": Code(
        "The runtime ended properly and the tree is as it was.",
        "Say more about the change in the issue, and ask again.",
        refusal=True,
    ),
    "needs-input": Code(
        "The runtime needs more information to do the task.",
        "Add what is missing to the issue, and ask again.",
        refusal=True,
    ),
    # the local GitHub of the demo and the tests
    "emulator-failed": Code(
        "The local GitHub could not start.",
        "Free the port that the message names, or let it choose one (port 0).",
    ),
    "emulator-git": Code(
        "A git command failed in a repository of the local GitHub.",
        "Check that git 2.35 or newer is installed and that the directory can be written.",
    ),
    "emulator-unknown": Code(
        "The local GitHub was asked for a user, role or repository it cannot have.",
        "Use a name that exists, or add it first.",
    ),
    # who and what may start work: refusals
    "unsupported-event": Code(
        "The event is not one that this version answers.",
        "Use the events of the quickstart workflow: a label, an assignment, a command, or a dispatch.",
        refusal=True,
    ),
    "not-a-command": Code(
        "The comment does not begin with a command for a familiar of this repository.",
        "Begin the comment with `/coven fix` or `/<familiar> fix`.",
        refusal=True,
    ),
    "unknown-command": Code(
        "The comment begins with a command that this version does not know.",
        "Use one of the commands that the answer lists.",
        refusal=True,
    ),
    "dispatch-without-issue": Code(
        "The workflow was dispatched without the number of an issue.",
        "Run it again and fill in the input `issue`.",
        refusal=True,
    ),
    "not-default-branch": Code(
        "The workflow was dispatched on another branch than the default one.",
        "Run it again on the default branch.",
        refusal=True,
    ),
    "edited-since-trigger": Code(
        "The text was edited after the run was triggered, and the run was started again.",
        "Apply the label, give the command or dispatch the workflow anew, so that the new text is what is worked on.",
        refusal=True,
    ),
    "not-routed": Code(
        "No rule of `routing` answers this label or assignment.",
        "Add a rule to .github/coven.yml if it should start work.",
        refusal=True,
    ),
    "familiar-not-named": Code(
        "There are several familiars, and nothing says which one is meant.",
        "Name one in the command: `/<familiar> fix`.",
        refusal=True,
    ),
    "other-repository": Code(
        "The event belongs to another repository than the one the job runs in.",
        "Run the workflow in the repository whose events it answers.",
        refusal=True,
    ),
    "own-event": Code(
        "The event was caused by this action itself.",
        "Nothing to do: this is what keeps a run from starting the next one.",
        refusal=True,
    ),
    "bot-not-listed": Code(
        "A bot caused the event, and the configuration does not list it.",
        "Add its numeric id to `allow_bots` if it may start work.",
        refusal=True,
    ),
    "permission-unknown": Code(
        "GitHub names no permission for the account that asked.",
        "Have somebody with write access to the repository ask.",
        refusal=True,
    ),
    "identity-mismatch": Code(
        "The login that asked belongs to another account by now.",
        "Have the account's present owner ask again.",
        refusal=True,
    ),
    "not-a-maintainer": Code(
        "The account that asked has no write access to the repository.",
        "Have somebody with write access apply the label or give the command.",
        refusal=True,
    ),
    "fork-pull-request": Code(
        "The pull request comes from another repository.",
        "Describe the change in an issue, and ask there.",
        refusal=True,
    ),
    "not-our-pull-request": Code(
        "The pull request's branch is not one that this action made.",
        "Describe the change in an issue, and ask there.",
        refusal=True,
    ),
    "pull-request-closed": Code(
        "The pull request is closed.",
        "Reopen it, or ask on the issue.",
        refusal=True,
    ),
    "nothing-asked": Code(
        "The command on a pull request says nothing about what to change.",
        "Write it after the command.",
        refusal=True,
    ),
    # the documents between the stages
    "missing-document": Code(
        "A document of an earlier stage is not there, or is no ordinary file.",
        "See why the earlier stage ended without it; then re-run the job.",
    ),
    "malformed-document": Code(
        "A document is not what its schema says, or is of another version.",
        "Run all stages with the same version of the action.",
    ),
    "document-too-large": Code(
        "A document is larger than anything this action writes.",
        "Re-run the job; if it happens again, the familiar left more than fits.",
    ),
    "document-altered": Code(
        "A document is not the one that the earlier stage wrote.",
        "Something changed it in between. Look at what ran in the job before you re-run it.",
    ),
    "digest-missing": Code(
        "No digest of a document was handed over: the stage that wrote it ended before it could vouch for it.",
        "Re-run the job. Where the stages run in jobs of their own, hand over the outputs `plan-sha256` and "
        "`outcome-sha256`.",
    ),
    "document-of-another-run": Code(
        "A document belongs to another run, or to an earlier attempt of this one.",
        "Start from `plan` again: re-run all jobs, not only the failed one.",
    ),
    # the bounds of a run
    "limit-memory": Code(
        "The runtime's processes took more memory than they may.",
        "Let the task start fewer programs at a time; what was done until then is kept in the run's artifacts.",
    ),
    "limit-processes": Code(
        "The runtime started more processes than it may.",
        "Look at the log for a program that starts itself; what was done until then is kept in the run's artifacts.",
    ),
    "limit-workspace": Code(
        "The runtime filled its folder beyond what it may.",
        "Look at the log for what writes so much; what was done until then is kept in the run's artifacts.",
    ),
    "io-failed": Code(
        "A file could not be read or written.",
        "Look at the runner's disk: it may be full, or not writable.",
    ),
    "unexpected": Code(
        "The action met something it did not expect: a bug.",
        "Re-run the job. If it happens again, report it: the job's log has the text to paste.",
    ),
    "job-file-unwritable": Code(
        "An output or the step summary could not be written.",
        "Look at the runner's disk: it may be full, or not writable.",
    ),
    # git
    "git-failed": Code(
        "A git command failed.",
        "The message has git's own words. Rules of the repository can refuse a push; a re-run helps against a lost connection.",
    ),
    "base-not-in-checkout": Code(
        "The checkout does not contain the commit that the work starts from.",
        "Use actions/checkout with `fetch-depth: 0`.",
    ),
    # GitHub's API
    "bad-credentials": Code(
        "GitHub does not accept the token.",
        "Pass `github-token: ${{ github.token }}`, or leave the input out.",
    ),
    "personal-token": Code(
        "The token is a person's own credential, and what is published would be done in that person's name.",
        "Use the job's own token (the default), or an App's installation token.",
    ),
    "missing-permission": Code(
        "The job's token lacks a permission.",
        "Add it to `permissions` of the job.",
    ),
    "pull-requests-switched-off": Code(
        "The repository does not let GitHub Actions create pull requests.",
        "Settings → Actions → General → Workflow permissions → “Allow GitHub Actions to create and approve pull requests”.",
    ),
    "rate-limited": Code(
        "GitHub's rate limit was reached, and waiting for its end would take too long.",
        "Re-run the job later.",
    ),
    "github-unavailable": Code(
        "GitHub could not be reached, or answered with an error of its own, several times.",
        "Look at https://www.githubstatus.com and re-run the job.",
    ),
    "github-refused": Code(
        "GitHub refused a request.",
        "The message has GitHub's own words.",
    ),
    "not-found": Code(
        "GitHub knows nothing at this address, or the token may not see it.",
        "Look whether it was deleted, and whether the job's `permissions` include it.",
    ),
    "already-exists": Code(
        "What should be created exists already.",
        "Re-run the job: it goes on with what is there.",
    ),
    "drafts-not-offered": Code(
        "The repository does not offer draft pull requests.",
        "Nothing to do: an ordinary pull request with the label coven:draft is opened instead.",
    ),
    "too-many-pages": Code(
        "A list at GitHub is longer than this action reads.",
        "Ask in a new issue: this one has too many comments.",
    ),
    "unexpected-answer": Code(
        "GitHub's answer is not what its API description says.",
        "Re-run the job; on GitHub Enterprise Server, look at its version.",
    ),
    "missing-model-key": Code(
        "The familiar needs a model, and the job was given no key for it.",
        "Pass `model-api-key: ${{ secrets.MODEL_API_KEY }}` and set the secret in the environment of the job.",
    ),
    "issue-file": Code(
        "The file given to `demo --issue` cannot be used as an issue.",
        "Write the title on the first line and the body, with a patch in a ```diff block, below it.",
    ),
    # writing the files of a repository: `coven-action init`
    "no-repository": Code(
        "The folder is in no git repository with a working tree.",
        "Run it inside the repository, or name the repository's folder: `coven-action init DIRECTORY`.",
    ),
    "link-in-the-way": Code(
        "A folder or file that would be written is a symbolic link, or no ordinary file.",
        "Replace it by an ordinary folder or file: what stands below .github should be in the repository.",
    ),
    "file-differs": Code(
        "A file that would be written exists and says something else.",
        "Look at the difference; `--force` writes ours in its place.",
    ),
    "action-ref-needed": Code(
        "This version has no release yet whose commit could be written into the workflow.",
        "Give the commit to use, 40 hexadecimal digits: `coven-action init --action-ref SHA`. The first word that "
        "`git ls-remote https://github.com/OpenCoven/coven-action HEAD` prints is the newest one; read what it does "
        "before you run it.",
    ),
    "templates-missing": Code(
        "The installation lacks the workflow templates.",
        "Install coven-action again, or run it from a complete checkout.",
    ),
    # the files of memory, .github/coven/memory; each mistake is told with its line and column
    "memory-path": Code(
        "An entry does not stand where its path gives its key, or is no ordinary file.",
        "Put it at .github/coven/memory/<namespace>/<name>.md.",
    ),
    "memory-front-matter": Code(
        "An entry does not begin with front matter.", "Begin the file with a line `---`, the keys, and a line `---`."
    ),
    "memory-not-utf-8": Code("A file of memory is not UTF-8.", "Save it as UTF-8."),
    "memory-empty": Code("An entry has no text.", "Write it below the front matter."),
    "memory-too-large": Code("An entry is larger than 2 KiB, or its file than 16 KiB.", "Shorten it, or make it two."),
    "memory-hidden-text": Code(
        "The text of an entry holds characters or markup that a reader does not see.",
        "Remove them; write code between backticks.",
    ),
    "memory-secret": Code(
        "The text of an entry holds what looks like a secret.",
        "Remove it, and revoke the secret if it is one: it is in the history of the repository.",
    ),
    "memory-revocation": Code(
        "A line of revoked.txt is no canonical key. Until it is mended no entry is used, because nobody knows which it means.",
        "Write repo/<repository id>/<namespace>/<name>, or a beginning of it that ends before a `/`.",
    ),
    "memory-stale": Code(
        "The lines that an entry cites have changed, so it is withheld.",
        "See whether it still holds; then write it again with `coven-action memory add --force`, or revoke it.",
    ),
    "memory-not-found": Code("There is no entry of this key.", "`coven-action memory list` shows them all."),
    "memory-not-citable": Code(
        "The lines that should be cited are not there.",
        "Give the path of a file of the repository and lines it has: --cite src/tax.py:40-42.",
    ),
    "repository-id-needed": Code(
        "The numeric id of the repository is needed and unknown here.",
        "Pass --repository-id; `gh api repos/OWNER/NAME --jq .id` prints it.",
    ),
    # what `coven-action check` says about the workflows that use the action
    "workflow-missing": Code(
        "No workflow uses the action, so nothing starts a familiar.",
        "Run `coven-action init`, or copy workflows-templates/quickstart.yml to .github/workflows/.",
    ),
    "workflow-unreadable": Code("A workflow that uses the action is not valid.", "Mend the place that is named."),
    "action-not-pinned": Code(
        "An action is named by a tag or branch, and whoever can move it runs code in the job.",
        "Pin the commit, with its version as a comment: `uses: owner/name@<40 hexadecimal digits> # v1.2.3`.",
    ),
    "action-placeholder": Code(
        "The commit of the action is still the placeholder of the template.",
        "Write the commit of a release, or run `coven-action init --action-ref SHA --force`.",
    ),
    "pin-without-version": Code(
        "Nobody can see which version a pinned commit is, and update tools need the comment.",
        "Add the version after the commit: `# v1.2.3`.",
    ),
    "unknown-input": Code("The step passes an input that the action does not have.", "Use the name that is suggested."),
    "permissions-missing": Code(
        "The job lacks a permission that its stages need, or leaves its permissions to a setting.",
        "Write the permissions into the job.",
    ),
    "permissions-excessive": Code("The job has a permission that its stages do not need.", "Remove it."),
    "id-token-beside-agent": Code(
        "The job that runs the agent may mint OIDC tokens.",
        "Remove `id-token: write`, or run the agent in a job of its own without it.",
    ),
    "secret-in-workflow": Code(
        "A secret is written into a file of the repository.",
        "Revoke it, store the new one as the secret MODEL_API_KEY, and pass `${{ secrets.MODEL_API_KEY }}`.",
    ),
    "secret-beside-agent": Code(
        "A secret stands in a variable of the job that runs the agent.",
        "Move it to the `env:` of the step that needs it.",
    ),
    "key-outside-environment": Code(
        "The model key is a secret that any branch's workflow can read.",
        "Put it into an environment that is limited to the default branch, and write "
        "`environment: {name: coven, deployment: false}` in the job.",
    ),
    "checkout-missing": Code(
        "The job has no checkout to work on.",
        "Put actions/checkout before the action, `with: {persist-credentials: false, fetch-depth: 0}`.",
    ),
    "checkout-keeps-token": Code(
        "The checkout holds the job's token.",
        "Write `with: {persist-credentials: false, fetch-depth: 0}` at actions/checkout.",
    ),
    "checkout-shallow": Code("The checkout is shallow.", "Write `fetch-depth: 0` at actions/checkout."),
    "concurrency-missing": Code(
        "Two runs on the same issue may work at the same time.",
        "Take the `concurrency` of workflows-templates/quickstart.yml: a group for each issue, with `queue: max`.",
    ),
    "runs-cancelled": Code(
        "GitHub cancels runs of this group, and what they were asked for is lost.",
        "Write `queue: max` beside the group, without `cancel-in-progress`.",
    ),
    "timeout-too-short": Code(
        "The job ends before the familiar's time is up, and nothing is published.",
        "Raise timeout-minutes, or lower limits.time in .github/coven.yml.",
    ),
    "unsafe-trigger": Code(
        "The workflow has a trigger by which strangers reach its token and secrets.",
        "Use the events of workflows-templates/quickstart.yml.",
    ),
    "trigger-missing": Code("Nothing starts a workflow for what the routing waits for.", "Add the trigger."),
    "trigger-not-answered": Code(
        "The workflow is started for something that never starts a familiar.",
        "Remove it: each start takes a runner.",
    ),
    "condition-never-holds": Code(
        "The condition of the job keeps out what the routing waits for.",
        "Change the condition of the job, or the rule in .github/coven.yml.",
    ),
    # the surroundings of a stage
    "missing-environment": Code(
        "A variable or input that the stage needs is not set.",
        "Run inside GitHub Actions, or set the variable that the message names.",
    ),
    # the endpoint: what it answers, as problems of RFC 9457
    "not-authenticated": Code(
        "The request carries no token that the endpoint accepts; it does not say why.",
        "Send a session from POST /v1/session. In a workflow, look whether the repository is enrolled, whether the "
        "audience is the endpoint's URL, and whether the runner's clock is right.",
        status=401,
    ),
    "not-permitted": Code(
        "Whoever asks is known and may not do this.",
        "Ask somebody with the role that the message names, or from a run with more authority.",
        status=403,
    ),
    "repo-transferred": Code(
        "The repository belongs to another account than the one it was enrolled for.",
        "Enrol it for the account that it belongs to now (`coven-action enrol`); its runs are admitted from then on. What it "
        "remembered and did stays with the account it was enrolled for, whose administrator exports or erases it.",
        status=403,
    ),
    "repository-suspended": Code(
        "An administrator has suspended the repository at the endpoint.",
        "Ask an administrator of the account to release it.",
        status=403,
    ),
    "no-such-resource": Code(
        "There is no such thing, or it is another tenant's; the answer is the same.",
        "Look at the id, and at the account the token was issued for.",
        status=404,
    ),
    "method-not-allowed": Code("The path takes another method.", "Use one that the Allow header names.", status=405),
    "idempotency-key-missing": Code(
        "A write came without an Idempotency-Key.",
        "Send the header with a text of your own of 1 to 100 printable characters, the same for each repetition.",
        status=400,
    ),
    "idempotency-key-reused": Code(
        "The Idempotency-Key has carried another request before.",
        "Use a new key for a new request.",
        status=422,
    ),
    "precondition-missing": Code(
        "A change of something that has versions came without If-Match.",
        "Read it first and send its ETag as If-Match.",
        status=428,
    ),
    "version-changed": Code(
        "It has changed since it was read.",
        "Read it again, look at what has changed, and decide anew.",
        status=412,
    ),
    "wrong-state": Code(
        "What is asked for is not possible in the state it is in.",
        "Look at its state; the message names the states in which it is possible.",
        status=409,
    ),
    "malformed-request": Code(
        "The request is no JSON, or not the document that the route takes.",
        "Mend the fields that the answer lists; the description is at /openapi.json.",
        status=422,
    ),
    "body-too-large": Code(
        "The body is larger than the route takes.", "Send less at once; 1 MiB is the most.", status=413
    ),
    "unsupported-media-type": Code(
        "The body is declared as something else than JSON.", "Send Content-Type: application/json.", status=415
    ),
    "cursor-invalid": Code("The cursor is none that the endpoint gave.", "Start without a cursor.", status=400),
    "cursor-expired": Code(
        "The events after the cursor are no longer kept.",
        "Read the current state anew and go on from the cursor that the answer names.",
        status=410,
    ),
    "quota-exceeded": Code(
        "The account has used what its tier allows.",
        "Wait until the time that the answer names, or have an administrator raise the cap.",
        status=429,
    ),
    "too-many-events": Code(
        "The run has reported as many events as a run may.",
        "Report fewer; the end of the run is accepted in any case.",
        status=429,
    ),
    "issuer-unavailable": Code(
        "The issuer of the ID token could not be asked for its keys.",
        "Repeat after the seconds in Retry-After; look at the issuer's status page where it lasts.",
        status=503,
    ),
    "overloaded": Code(
        "The endpoint has more to do than it can.", "Repeat after the seconds in Retry-After.", status=503
    ),
    "store-closing": Code("The endpoint is being stopped.", "Repeat after the seconds in Retry-After.", status=503),
    "disk-full": Code(
        "The endpoint's disk is full; nothing was changed.",
        "Free space where its database lies; it goes on by itself.",
        status=503,
    ),
    "database-failed": Code(
        "The endpoint's database failed; nothing was changed.", "Look at the endpoint's log.", status=503
    ),
    "internal-error": Code(
        "The endpoint met a fault of its own; nothing was changed.",
        "Look for the request's id in the endpoint's log.",
        status=500,
    ),
    "tenant-missing": Code(
        "The local administrator's token reaches several accounts, and the request names none of them, or none that exists.",
        "Send the account's login or number as Coven-Tenant.",
        status=400,
    ),
    # a run and the endpoint
    "endpoint-unreachable": Code(
        "The endpoint gave no answer in time.",
        "Look whether it runs and whether the runner may reach it; the job goes on without memory and history.",
    ),
    "endpoint-unreadable": Code(
        "The endpoint's answer is none that this release reads.",
        "Look whether `hosted.url` names an endpoint, and whether both sides are of the same release.",
    ),
    "endpoint-refused": Code(
        "The endpoint refused a request.", "Look up the endpoint's own code, which the message names, in this list."
    ),
    "installation-id": Code(
        "The input installation-id is not a number.",
        "Give the number at the end of the installation's address in the account's settings, or leave the input out.",
    ),
    "hosted-needs-separate-jobs": Code(
        "The configuration names an endpoint, and the job that would ask it for a session also runs the familiar.",
        "Take workflows-templates/isolated.yml, in which plan, run and publish are jobs of their own, with "
        "`id-token: write` in plan and publish only; or remove `hosted` from .github/coven.yml.",
    ),
    "endpoint-required": Code(
        "The endpoint could not be asked, and the configuration does not let a run start without its answer.",
        "Look at the endpoint and at the job's `id-token: write`, then trigger again.",
        refusal=True,
    ),
    "thread-busy": Code(
        "Another run works on the thread, or has waited longer for it.",
        "Trigger again when that run has ended.",
        refusal=True,
    ),
    "admission-refused": Code(
        "The endpoint does not admit the run: a cap of the account or of the repository is used up.",
        "Wait until the time that the message names, or have an administrator raise the cap.",
        refusal=True,
    ),
    # running the endpoint
    "account-unknown": Code(
        "The database has no such account, or several of that login.",
        "Give the login or the id under which it was enrolled; `coven-action enrol` enrols it.",
    ),
    "account-enrolled": Code(
        "The account of the export is in this database already.", "Import it into a database that does not have it."
    ),
    "export-broken": Code(
        "An export is damaged, cut off, or was changed.",
        "Take the export again; where the endpoint gives the same one, its history was changed.",
    ),
    "sqlite-too-old": Code(
        "The installed SQLite could lose an acknowledged write.", "Install pysqlite3 0.6.1 or newer."
    ),
    # who a run is, by its ID token
    "run-not-admitted": Code(
        "The endpoint admits no such run of the repository: its event, ref, workflow, environment or runner is not listed.",
        "Look at the rules the repository was enrolled with, or have an administrator change them.",
        status=403,
    ),
    "id-token-not-permitted": Code(
        "The job may not ask for an ID token.",
        "Write `id-token: write` into the permissions of the job that runs `plan` or `publish`.",
    ),
    "id-token-failed": Code(
        "GitHub gave the job no ID token.", "Re-run the job; if it fails again, look at https://www.githubstatus.com."
    ),
    # the gateway to the model
    "gateway-not-started": Code(
        "The model gateway, the process that holds the model's key, could not be started.",
        "Look at the message: the key must be one piece of visible ASCII, and the folder of the socket must belong to "
        "nobody else.",
    ),
    "gateway-lost": Code(
        "The model gateway ended without its account of what was spent.",
        "Re-run the job. What the run had spent stands in the account of the model's provider alone.",
    ),
    "budget-requests": Code(
        "The run has made as many requests to its model as its budget allows, and was ended.",
        "Make the task smaller, or raise the limit on the run; the work so far is in the artifact.",
    ),
    "budget-tokens": Code(
        "The run has used the tokens of its budget, and was ended.",
        "Make the task smaller, or raise the limit on the run; the work so far is in the artifact.",
    ),
    "budget-cost": Code(
        "The run has spent the money of its budget, and was ended.",
        "Make the task smaller, or raise limits.cost in .github/coven.yml; the work so far is in the artifact.",
    ),
    # the start of the endpoint
    "invalid-setting": Code(
        "A setting of the endpoint has a value that it does not take.",
        "Write what the message names; `coven-action serve --help` lists the settings.",
    ),
    "signing-key-unusable": Code(
        "The file of the key that signs the audit log's heads is no such key, or cannot be read or made.",
        "Restore it from a backup. A new key is made where the file is missing, but then nobody can tell a rewritten log "
        "by the heads that were signed before.",
    ),
    "database-newer": Code(
        "The database was made by a newer version of the endpoint.",
        "Start the version that made it, or a newer one, or restore the backup from before the upgrade.",
    ),
    "database-unusable": Code(
        "The file is no database of the endpoint, or it is damaged.",
        "Check the path; restore the newest backup where the file is damaged.",
    ),
    "database-in-use": Code(
        "Another process serves this database already.",
        "Stop it first, or give this one a database of its own with --data.",
    ),
    "address-in-use": Code(
        "The address cannot be listened on.", "Stop what listens there, or choose another with --host and --port."
    ),
    # what travels between jobs and runs
    "outbox-refused": Code(
        "What an earlier run has kept for the endpoint is damaged, too large, or none of ours. It is not handed over.",
        "Look at that run: something else than `publish` may have written its artifact.",
    ),
    "endpoint-in-one-job": Code(
        "The configuration names an endpoint, and the workflow runs every stage in one job.",
        "Take workflows-templates/isolated.yml, in which each stage is a job of its own: "
        "`coven-action init --template isolated`. Or remove `hosted` from .github/coven.yml.",
    ),
    "id-token-missing": Code(
        "The configuration names an endpoint, and a job that talks to it may not ask for an ID token.",
        "Write `id-token: write` into the permissions of the jobs that run `plan` and `publish`.",
    ),
    # the endpoint's operations: copies, disk, rates, settings
    "backup-broken": Code(
        "The copy is damaged, was changed, or is not what lies beside it says. Nothing was replaced.",
        "Take an older copy, and keep the damaged one to look at.",
    ),
    "backup-exists": Code(
        "A file lies where the copy would be put; no copy takes the place of another.", "Give another name."
    ),
    "too-many-requests": Code(
        "The account, or the run, asks more in a minute than its tier allows.",
        "Repeat after the seconds in Retry-After.",
        status=429,
    ),
    "read-only": Code(
        "The endpoint's disk is nearly full; it shows, exports, revokes and erases, and takes nothing new.",
        "Free space where its database lies; it goes on by itself. A run keeps what it could not deliver.",
        status=507,
    ),
    "restore-unfinished": Code(
        "A restore was cut off while it replaced the database.",
        "Restore again, from the same copy or another one: `coven-action restore`.",
    ),
    # the endpoint on PostgreSQL
    "database-url-invalid": Code(
        "DATABASE_URL is no address of a PostgreSQL database.",
        "Write it as postgresql://ROLE:PASSWORD@HOST:5432/DATABASE, with reserved characters of the password "
        "percent-encoded.",
    ),
    "database-unreachable": Code(
        "The PostgreSQL server cannot be reached, or does not let the role in.",
        "Look whether it runs, whether this machine may reach it, and at role, password and database in DATABASE_URL.",
    ),
    "database-too-old": Code(
        "The PostgreSQL server is older than the endpoint works with.", "Upgrade it to PostgreSQL 15 or newer."
    ),
    "database-not-migrated": Code(
        "The database has no tables of the endpoint, or those of an older version.",
        "Run `coven-action migrate` with the DATABASE_URL of the role that owns the tables.",
    ),
    "database-role-missing": Code(
        "The role that the endpoint connects as does not exist.",
        "Make it: CREATE ROLE coven_app LOGIN PASSWORD '…'; or name another with --app-role.",
    ),
    "database-role-unsafe": Code(
        "The role could go around the policies that keep accounts apart, or destroy every account's data.",
        "Let the endpoint connect as a role of its own, made by CREATE ROLE coven_app LOGIN NOSUPERUSER NOBYPASSRLS "
        "PASSWORD '…', that owns nothing, has no other attribute and is a member of no role that has or does.",
    ),
    "database-rights-missing": Code(
        "The role may not do what the endpoint needs, or the server takes no writes.",
        "Run `coven-action migrate --app-role ROLE` with the DATABASE_URL of the role that owns the tables; name the "
        "primary server.",
    ),
    "database-unprotected": Code(
        "A table is not protected by the policies that keep accounts apart.",
        "Find out who changed them; restore the database, or make the tables anew with `coven-action migrate` and move the "
        "accounts there.",
    ),
    "stores-differ": Code(
        "The database that accounts are moved to is not, or would not be, the same as the one they come from.",
        "Move into an empty database: make one, run `coven-action migrate` on it, and begin again. The source is unchanged.",
    ),
    "signing-key-differs": Code(
        "This process would sign the audit log with another key than the deployment's.",
        "Give every replica the same file. After a deliberate change of keys: `coven-action admin signing-key`.",
    ),
    # the repository's checks, as `publish` takes them
    "checks-not-observed": Code(
        "Checks are configured, and nobody has seen them run on the result; nothing is published unseen.",
        "Look at the log of `verify`. Where a check took too long, raise its `timeout` under `verify:` in "
        ".github/coven.yml; then re-run the job.",
    ),
    # the repository's checks, as `verify` runs them
    "bundle-mismatch": Code(
        "The bundle does not hold the commit that the run says it does.",
        "Re-run the job; if it happens again, look who else can write into the folder of the run's documents.",
    ),
    # what git would have to hold in memory
    "change-too-large": Code(
        "The change holds more than can be compared: a file of more than 16 MiB, before or after it, 256 MiB together, or too "
        "many files.",
        "Let the familiar leave such files alone: name them in .gitignore where they are made by its work, or say in the task "
        "what is not to be touched.",
    ),
    # the money of a run
    "model-price-unknown": Code(
        "The configuration says what a run may spend, and the price of its model is not known here.",
        "Remove limits.cost from .github/coven.yml: requests and tokens stay bounded, time by limits.time and turns by "
        "limits.turns. Or name a model whose price is known.",
    ),
    # what earlier runs have kept for the endpoint
    "envelope-refused": Code(
        "The endpoint refuses what an earlier run has kept for it. It is set aside, and the next is handed over.",
        "It stays in that run's artifact, which the message names, until the artifact expires. Look up the endpoint's own "
        "code in this list.",
    ),
    # accounts that are suspended
    "sessions-not-told": Code(
        "The sessions are ended in the database, and a running server could not be told.",
        "Restart the server: it knows a session for fifteen minutes at most. Then make the folder of the database writable.",
    ),
    # what operates on the endpoint's database
    "database-busy": Code(
        "The tables of events could not be changed, since others go on using them; nothing was changed.",
        "Run it again when no export is being read; `SELECT * FROM pg_stat_activity` says who holds them.",
    ),
    "database-maintenance-failed": Code(
        "The PostgreSQL server refused a change of the tables for a reason of its own; nothing was changed.",
        "The message is the server's: mend what it names, a disk that is full for example, and run it again.",
    ),
    "sweep-incomplete": Code(
        "Some accounts could not be swept; the others were.",
        "Each one's reason stands above. Run it again: what was done is done. Where an account fails again, check its data "
        "with `coven-action admin reseal --verify`.",
    ),
    # whose token the workflow uses
    "app-bot-id": Code(
        "The input app-bot-id is not a number.",
        "Give what `gh api '/users/NAME-OF-THE-APP[bot]' --jq .id` prints, or leave the input out.",
    ),
    # what the endpoint is not told
    "endpoint-not-told": Code(
        "Something that would have been told to the endpoint holds a secret where the mark that covers it does not fit.",
        "Take the secret out of the task, its text or the names that the message says; the job goes on without that report.",
    ),
}
