# Images of Coven Action.
#
# Target `endpoint`, the default: the endpoint on a database in one file. Run it with a read-only root file system and a
# volume for its data, behind a proxy with a certificate:
#
#   docker build -t coven-endpoint .
#   docker run --read-only --tmpfs /tmp -v coven-data:/data -p 127.0.0.1:8766:8766 \
#     -e COVEN_PUBLIC_URL=https://coven.example.com coven-endpoint
#
# Target `runner`: an ephemeral self-hosted runner that takes one job and ends. Nobody in it is root and nothing in it makes
# anybody root; no Docker socket belongs into it. docs/self-hosted.md says how it is started and which isolation it reaches.
#
#   docker build --target runner --build-arg RUNNER_VERSION=… --build-arg RUNNER_SHA256=… -t coven-runner .
#
# Version and digest of GitHub's runner are yours to give: they stand on https://github.com/actions/runner/releases, and a
# runner must be renewed within 30 days of each release (.github/workflows/runner-image.yml). There is no default that would
# grow stale unnoticed. BuildKit, Docker's builder since 23.0, leaves this target out where the other one is built.
FROM debian:bookworm-slim AS runner

SHELL ["/bin/bash", "-o", "pipefail", "-c"]

# What GitHub's runner links to, what the action calls, and bubblewrap. The versions are Debian's own, renewed with the base
# image at each build. Without the setuid and setgid bits no program of the image gives anybody another user's rights.
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install --yes --no-install-recommends \
      bubblewrap ca-certificates curl git libicu72 libkrb5-3 libssl3 python3 python3-venv zlib1g \
 && rm -rf /var/lib/apt/lists/* \
 && find / -xdev -type f -perm /6000 -exec chmod a-s '{}' + \
 && useradd --create-home --uid 10001 runner

ARG RUNNER_VERSION
ARG RUNNER_SHA256
WORKDIR /home/runner
RUN : "${RUNNER_VERSION:?give it with --build-arg: https://github.com/actions/runner/releases}" \
      "${RUNNER_SHA256:?give it with --build-arg: it stands beside the release}" \
 && architecture=$(dpkg --print-architecture | sed 's/^amd64$/x64/') \
 && name="actions-runner-linux-${architecture}-${RUNNER_VERSION}.tar.gz" \
 && curl --fail --location --proto '=https' --silent --show-error --output runner.tar.gz \
      "https://github.com/actions/runner/releases/download/v${RUNNER_VERSION}/${name}" \
 && echo "${RUNNER_SHA256}  runner.tar.gz" | sha256sum --check --strict - \
 && tar --extract --gzip --no-same-owner --file runner.tar.gz \
 && rm runner.tar.gz \
 && chown -R runner:runner /home/runner

# No sudo, no Docker socket, no root: what a job can do here is what this user can do.
USER 10001:10001
ENV LANG=C.UTF-8 ACTIONS_RUNNER_PRINT_LOG_TO_STDOUT=1 RUNNER_MANUALLY_TRAP_SIG=1
# A just-in-time configuration is good for one job. The runner takes it from its environment and removes it there before a job
# starts; on a command line every process of the machine could read it.
# https://docs.github.com/en/rest/actions/self-hosted-runners#create-configuration-for-a-just-in-time-runner-for-a-repository
CMD ["/bin/bash", "-c", ": \"${ACTIONS_RUNNER_INPUT_JITCONFIG:?set it to a just-in-time configuration}\" && exec /home/runner/run.sh"]

FROM debian:bookworm-slim AS endpoint

SHELL ["/bin/bash", "-o", "pipefail", "-c"]

# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install --yes --no-install-recommends ca-certificates python3 python3-venv \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --no-create-home --uid 10002 coven \
 && install --directory --owner=coven --mode=0700 /data

# Every package is the one whose digest is locked; our own comes from this checkout.
WORKDIR /opt/coven
COPY requirements/endpoint.txt ./
RUN python3 -m venv /opt/coven/venv \
 && venv/bin/python -m pip install --no-cache-dir --disable-pip-version-check --require-hashes -r endpoint.txt
COPY src/coven_action venv/lib/python3.11/site-packages/coven_action
RUN venv/bin/python -m compileall -q venv/lib/python3.11/site-packages/coven_action \
 && printf '#!/bin/sh\nexec /opt/coven/venv/bin/python -P -m coven_action "$@"\n' > venv/bin/coven-action \
 && chmod 0755 venv/bin/coven-action

USER 10002:10002
ENV PATH=/opt/coven/venv/bin:/usr/local/bin:/usr/bin:/bin
ENV COVEN_HOST=0.0.0.0 COVEN_PORT=8766 COVEN_DATA=/data/coven.db PYTHONDONTWRITEBYTECODE=1
VOLUME ["/data"]
EXPOSE 8766
HEALTHCHECK --interval=30s --timeout=3s --start-period=10s \
  CMD ["/opt/coven/venv/bin/python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8766/healthz', timeout=2)"]
# COVEN_PUBLIC_URL is yours to give: https, and the audience that runs ask their ID tokens for.
CMD ["/opt/coven/venv/bin/python", "-P", "-m", "coven_action", "serve"]
