# Images of Coven Action. Target `runner`: an ephemeral self-hosted runner that takes one job and ends.
#
#   docker build --target runner --build-arg RUNNER_VERSION=… --build-arg RUNNER_SHA256=… -t coven-runner .
#
# Version and digest of GitHub's runner are yours to give: they stand on https://github.com/actions/runner/releases, and a
# runner must be renewed within 30 days of each release. There is no default that would grow stale unnoticed.
FROM debian:bookworm-slim AS runner

SHELL ["/bin/bash", "-o", "pipefail", "-c"]

# The versions are Debian's own, renewed with the base image at each build.
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install --yes --no-install-recommends \
      bubblewrap ca-certificates curl git libicu72 python3 python3-venv \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --create-home --uid 10001 runner

ARG RUNNER_VERSION
ARG RUNNER_SHA256
WORKDIR /home/runner
RUN test -n "$RUNNER_VERSION" && test -n "$RUNNER_SHA256" \
 && curl --fail --location --proto '=https' --silent --show-error --output runner.tar.gz \
      "https://github.com/actions/runner/releases/download/v${RUNNER_VERSION}/actions-runner-linux-x64-${RUNNER_VERSION}.tar.gz" \
 && echo "${RUNNER_SHA256}  runner.tar.gz" | sha256sum --check --strict - \
 && tar --extract --gzip --no-same-owner --file runner.tar.gz \
 && rm runner.tar.gz \
 && chown -R runner:runner /home/runner

# No sudo, no Docker socket, no root: what a job can do here is what this user can do.
USER 10001:10001
# RUNNER_CONFIG is a just-in-time configuration, good for one job:
# https://docs.github.com/en/rest/actions/self-hosted-runners#create-configuration-for-a-just-in-time-runner-for-a-repository
CMD ["/bin/bash", "-c", "exec ./run.sh --jitconfig \"${RUNNER_CONFIG:?set RUNNER_CONFIG to a just-in-time configuration}\""]
