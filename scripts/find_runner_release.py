"""Finds version and digest of GitHub's runner in GitHub's answer about its latest release, and prints them as outputs.

    gh api repos/actions/runner/releases/latest | python3 -I scripts/find_runner_release.py >> "$GITHUB_OUTPUT"

Needs nothing but Python. An answer without a digest, or of any other form than expected, ends with 1 and prints nothing.

https://docs.github.com/en/rest/releases/releases#get-the-latest-release; the digest is GitHub's own, taken when the file
was uploaded: https://github.blog/changelog/2025-06-03-releases-now-expose-digests-for-release-assets/
"""

import json
import re
import sys
from typing import Final

VERSION: Final = re.compile(r"v([0-9]+\.[0-9]+\.[0-9]+)")
DIGEST: Final = re.compile(r"sha256:([0-9a-f]{64})")
ASSET: Final = "actions-runner-linux-x64-{version}.tar.gz"


def find_release(answer: str) -> tuple[str, str]:
    """Return version and SHA-256 of the runner for Linux on x64.

    Args:
        answer: What GitHub answered, JSON.

    Raises:
        ValueError: The answer is not of a published release that has exactly one such file, with a digest.
    """
    release = json.loads(answer)
    try:
        draft, prerelease, tag, assets = (release[key] for key in ("draft", "prerelease", "tag_name", "assets"))
        if draft is not False or prerelease is not False:
            raise ValueError("The release is a draft or a prerelease.")
        version = _match(VERSION, tag, "version")
        (asset,) = (asset for asset in assets if asset["name"] == ASSET.format(version=version))
        return version, _match(DIGEST, asset["digest"], "digest")
    except (KeyError, TypeError) as error:
        raise ValueError("The answer is not of the form that GitHub documents.") from error


def _match(pattern: re.Pattern[str], text: object, what: str) -> str:
    match = pattern.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise ValueError(f"The {what} is {text!r}.")
    return match[1]


def main() -> int:
    """Read the answer, print the outputs; return the exit code."""
    try:
        version, sha256 = find_release(sys.stdin.read())
    except ValueError as error:
        sys.stderr.write(f"No runner was found in GitHub's answer: {error}\n")
        return 1
    sys.stdout.write(f"version={version}\nsha256={sha256}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
