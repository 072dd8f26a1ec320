"""Measures the redactor: throughput on 100 MB of log with a secret every megabyte, recall and precision beside rivals.

`make bench NAME=redaction [ARGS="--megabytes N --runs N"]` prints one table; `--json FILE` writes the figures as well.
The rivals, betterleaks and detect-secrets, are compared where their programs are found on PATH or named by
`--rivals FOLDER`; both run without network. No figure is printed when the work was not done: every planted secret must
be gone from the output of the throughput run, and nothing but markers may differ.
"""

import argparse
import json
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from importlib import metadata
from itertools import cycle, islice
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parent.parent), str(Path(__file__).resolve().parent.parent / "src")]

# The checkout was put on the path first.
from benchmarks.redaction_corpus import Positive, build_positives, read_negatives  # noqa: E402
from coven_action.core.redaction.redactor import Redactor  # noqa: E402

MEGABYTE = 1_000_000
CHUNK = 64 * 1024
EACH = 70
LEAST_NEGATIVES = 5_000


def build_log(megabytes: int, lines: list[str], secrets: list[str]) -> tuple[list[bytes], bytes]:
    """Return the log as chunks, and what must come out: each secret stands alone in a line after each megabyte."""
    pool = "\n".join(lines).encode() + b"\n"
    megabyte = b"".join(islice(cycle([pool]), MEGABYTE // len(pool) + 1))[:MEGABYTE].rsplit(b"\n", 1)[0] + b"\n"
    log = b"".join(megabyte + b"leaked: " + secret.encode() + b"\n" for secret in islice(cycle(secrets), megabytes))
    expected = (megabyte + b"leaked: [redacted]\n") * megabytes
    return [log[start : start + CHUNK] for start in range(0, len(log), CHUNK)], expected


def redact_log(redactor: Redactor, chunks: list[bytes]) -> tuple[list[str], float, float]:
    """Return the output, wall seconds and CPU seconds."""
    wall, cpu = time.perf_counter(), time.process_time()
    stream = redactor.stream()
    output: list[str] = [stream.feed(chunk) for chunk in chunks]
    output.append(stream.finish())
    return output, time.perf_counter() - wall, time.process_time() - cpu


def measure_throughput(megabytes: int, runs: int, lines: list[str], positives: list[Positive]) -> dict[str, float]:
    """Return the medians of CPU and wall throughput in MB/s; refuse where a secret came through or text was lost."""
    live = [positives[0].secret, positives[EACH * 8].secret]
    shaped = [one.secret for one in positives if one.rule in {"github-app-token", "anthropic-api-key", "jwt"}]
    chunks, expected = build_log(megabytes, lines, [*live, *shaped[:8]])
    redactor = Redactor.build(live)
    redact_log(redactor, chunks[:100])
    seconds: list[tuple[float, float]] = []
    for _ in range(runs):
        output, wall, cpu = redact_log(redactor, chunks)
        text = "".join(output)
        for kind in ("registered secret", "GitHub token", "Anthropic key", "JWT"):
            text = text.replace(f"[redacted: {kind}]", "[redacted]")
        assert text.encode() == expected, "the throughput run lost text or let a secret through: no figure"
        seconds.append((wall, cpu))
    size = sum(map(len, chunks)) / MEGABYTE
    wall, cpu = (statistics.median(column) for column in zip(*seconds, strict=True))
    return {"wall MB/s": size / wall, "CPU MB/s": size / cpu, "MB": size}


def find_lines(redactor: Redactor, lines: list[str]) -> set[int]:
    """Return the numbers, from 1, of lines in which the redactor finds something."""
    return {number for number, line in enumerate(lines, 1) if redactor.find(line)}


def find_rival_lines(name: str, program: str, folder: Path) -> set[int]:
    """Run a rival over `folder/corpus.txt`; return the numbers of the lines that it reports."""
    corpus, report = folder / "corpus.txt", folder / f"{name}.json"
    if name == "detect-secrets":
        command = [program, "scan", "--no-verify", str(corpus)]
        text = subprocess.run(command, check=True, capture_output=True, cwd=folder).stdout
        found = json.loads(text)["results"]
        return {secret["line_number"] for secrets in found.values() for secret in secrets}
    command = [
        program,
        "auto",
        str(corpus),
        "-o",
        str(report),
        "--redact",
        "--exit-code",
        "0",
        "--no-banner",
        "--silent",
    ]
    subprocess.run(command, check=True, capture_output=True, cwd=folder)
    places = [one["location"] for one in json.loads(report.read_text(encoding="utf-8"))["findings"]]
    return {number for place in places for number in range(place["start_line"], place["end_line"] + 1)}


def rate(found: set[int], positives: int, total: int) -> dict[str, float]:
    """Return recall and precision; lines 1 to `positives` hold a secret, the others up to `total` none."""
    assert all(1 <= number <= total for number in found), "a scanner reported a line that is not there: no figure"
    right = sum(number <= positives for number in found)
    return {"recall": right / positives, "precision": right / len(found) if found else 0.0, "false": len(found) - right}


def compare(
    positives: list[Positive], negatives: list[str], rivals: str | None
) -> Iterator[tuple[str, dict[str, float]]]:
    """Yield the ratings of the redactor and of each rival that is installed."""
    lines = [*(one.line for one in positives), *negatives]
    assert not any("\n" in line for line in lines), "a sample has more than one line: no figure"
    redactor = Redactor.build()
    for one in positives:
        assert one.secret in one.line, "a positive lacks its secret: no figure"
    yield "coven-action", rate(find_lines(redactor, lines), len(positives), len(lines))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "corpus.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
        for rival in ("betterleaks", "detect-secrets"):
            program = shutil.which(rival, path=rivals)
            if program:
                yield rival, rate(find_rival_lines(rival, program, folder), len(positives), len(lines))


def main() -> None:
    """Measure, print one table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--megabytes", type=int, default=100)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--rivals", help="the folder in which the rivals' programs are")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    arguments = parser.parse_args()
    positives = build_positives(EACH)
    sources = read_negatives()
    negatives = [line.replace("\r", "") for lines in sources.values() for line in lines]
    negatives = [line for line in negatives if len(line.splitlines()) == 1]
    assert len(negatives) >= LEAST_NEGATIVES, "too few negative lines: no figure"
    ratings = dict(compare(positives, negatives, arguments.rivals))
    clean = [line for line in negatives if not Redactor.build().find(line)]
    throughput = measure_throughput(arguments.megabytes, arguments.runs, clean, positives)
    print(f"{platform.machine()}, Python {platform.python_version()}, coven-action {metadata_version()}")
    print(f"{len(positives)} positives of {len({one.rule for one in positives})} rules, {len(negatives)} negatives")
    print(f"{'scanner':16}{'recall':>9}{'precision':>11}{'false':>7}")
    for name, figures in ratings.items():
        print(f"{name:16}{figures['recall']:9.4f}{figures['precision']:11.4f}{figures['false']:7.0f}")
    print(
        f"throughput on {throughput['MB']:.0f} MB: "
        f"{throughput['CPU MB/s']:.1f} MB/s CPU, {throughput['wall MB/s']:.1f} MB/s wall"
    )
    if arguments.json:
        arguments.json.write_text(json.dumps({"ratings": ratings, "throughput": throughput}, indent=2) + "\n")


def metadata_version() -> str:
    """Return the version of the package, or `source` where it runs from the checkout."""
    try:
        return metadata.version("coven-action")
    except metadata.PackageNotFoundError:
        return "source"


if __name__ == "__main__":
    main()
