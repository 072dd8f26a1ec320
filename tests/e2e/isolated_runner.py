"""The template with a job for each stage on a real workflow runner, with stand-ins for what GitHub brings.

Artifacts need GitHub's own service: the stand-ins keep them as zip files in a folder, named once and never written over, as
upload-artifact does, and unpack them as they are: what a real download refuses reaches our own code here. The variables that
ask for ID tokens are given to the jobs whose permissions say `id-token: write`, and to no other, as GitHub does. The private
environment of the action, which the other end-to-end tests make in earnest, is this environment: four times it takes long.
"""

import json
import re
import sys
import zipfile
from pathlib import Path

from tests.e2e.workflow_runner import ACTION, ROOT, UPLOAD, WorkflowRunner
from tests.scenario import Scene

DOWNLOAD = "actions/download-artifact@3e5f45b2cfb9172054b4087a40e8e0b5a5461e7c"
# Keys newer than act's schema, each with the text that leaves when it is removed.
UNKNOWN_TO_ACT = ("cache-mode: none\n", "  queue: max\n", ", deployment: false")

_UPLOAD = """\
import os, pathlib, zipfile
store, name = pathlib.Path(os.environ["STORE"]), os.environ["NAME"]
hidden = os.environ["HIDDEN"] == "true"
files = []
for line in os.environ["FILES"].splitlines():
    path = pathlib.Path(line.strip().removesuffix("/**").removesuffix("/"))
    files += [path] if path.is_file() else [each for each in sorted(path.rglob("*")) if each.is_file()]
files = [path for path in files if hidden or not any(part.startswith(".") for part in path.parts[-2:])]
if not files:
    raise SystemExit(1 if os.environ["MISSING"] == "error" else 0)
top = os.path.commonpath([path.parent for path in files])
with (store / f"{name}.zip").open("xb") as stream, zipfile.ZipFile(stream, "w") as packed:
    for path in files:
        packed.write(path, path.relative_to(top))
tamper = store / "tamper.py"
if name.startswith("coven-run-") and tamper.exists():
    exec(compile(tamper.read_text(), "tamper.py", "exec"))
"""
_DOWNLOAD = """\
import os, pathlib, zipfile
folder = pathlib.Path(os.environ["FOLDER"])
with zipfile.ZipFile(pathlib.Path(os.environ["STORE"]) / (os.environ["NAME"] + ".zip")) as packed:
    for member in packed.infolist():
        path = folder / member.orig_filename
        path.parent.mkdir(parents=True, exist_ok=True)
        if member.external_attr >> 28 == 0o12:
            path.symlink_to(packed.read(member).decode())
        else:
            path.write_bytes(packed.read(member))
"""
# Stands where the action's private Python is: writes down what a stage's process is given, and becomes that process.
_PYTHON = """\
#!{python} -I
import json, os, sys
with open({seen!r}, "a") as stream:
    stream.write(json.dumps([sys.argv[1:], dict(os.environ)]) + chr(10))
os.execv({python!r}, [{python!r}, *sys.argv[1:]])
"""


class IsolatedRunner(WorkflowRunner):
    """Runs the template for a repository.

    Attributes:
        store: The folder of the artifacts, as `<name>.zip`.
    """

    def __init__(self, scene: Scene, folder: Path) -> None:
        super().__init__(scene, folder)
        self.store = folder / "store"
        self.store.mkdir()
        self._seen = folder / "seen.jsonl"
        command = folder / "python"
        command.write_text(_PYTHON.format(python=sys.executable, seen=str(self._seen)))
        command.chmod(0o755)
        (self.action / "setup/venv.sh").write_text(f'printf "command=%s\\n" "{command}" >> "$GITHUB_OUTPUT"\n')
        upload = {"name": "NAME", "path": "FILES", "include-hidden-files": "HIDDEN", "if-no-files-found": "MISSING"}
        download = {"name": "NAME", "path": "FOLDER"}
        self.stand_ins = {
            UPLOAD: self._write_action(folder / "uploads", _UPLOAD, upload),
            DOWNLOAD: self._write_action(folder / "downloads", _DOWNLOAD, download),
        }

    def prepare(self, run_id: int, python: str) -> str:
        """Return the template without what act does not know, with what GitHub gives jobs by their permissions."""
        del python
        text = (ROOT / "workflows-templates/isolated.yml").read_text()
        for unknown in UNKNOWN_TO_ACT:
            assert text.count(unknown) == 1, f"the template no longer has {unknown!r}: act may know it by now"
            text = text.replace(unknown, "")
        assert text.count(ACTION) == 4
        run = self.scene.repository.workflow_runs[run_id]
        head, *jobs = re.split(r"(?m)^(?=  [a-z]+:\n    name:)", text)
        return head + "".join(self._permit(job, run) for job in jobs)

    def _permit(self, job: str, run: object) -> str:
        if "id-token: write" not in job:
            return job
        variables = self.scene.github.issuer.permit(self.scene.repository, run)  # type: ignore[arg-type]
        return job.replace("    permissions:\n", f"    env: {json.dumps(variables)}\n    permissions:\n", 1)

    def _write_action(self, folder: Path, program: str, inputs: dict[str, str]) -> Path:
        folder.mkdir()
        (folder / "program.py").write_text(program)
        given = "".join(f"        {variable}: ${{{{ inputs.{name} }}}}\n" for name, variable in inputs.items())
        (folder / "action.yml").write_text(
            "name: stand-in\n"
            f"inputs: {{{', '.join(f'{name}: {{}}' for name in (*inputs, 'retention-days'))}}}\n"
            "runs:\n  using: composite\n  steps:\n    - shell: bash\n"
            f"      run: python3 -I '{folder / 'program.py'}'\n"
            f"      env:\n        STORE: {self.store}\n{given}"
        )
        return folder

    def seen_by(self, stage: str) -> dict[str, str]:
        """Return the environment of a stage's process, the last one of that stage."""
        seen = [json.loads(line) for line in self._seen.read_text().splitlines()]
        return [environment for arguments, environment in seen if arguments[-1] == stage][-1]

    def tamper(self, program: str) -> None:
        """Let the job `run` do something with the artifacts once it has left its own; `store` is their folder."""
        (self.store / "tamper.py").write_text(program)

    def artifacts(self) -> dict[str, list[str]]:
        """Return what was uploaded: names, and the files in each."""
        return {path.stem: sorted(zipfile.ZipFile(path).namelist()) for path in sorted(self.store.glob("*.zip"))}
