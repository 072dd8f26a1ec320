"""What a job of acme/billing tells of itself by its environment."""

JOB = {
    "GITHUB_API_URL": "https://api.github.example",
    "GITHUB_EVENT_NAME": "issues",
    "GITHUB_REPOSITORY": "acme/billing",
    "GITHUB_REPOSITORY_ID": "1",
    "GITHUB_RUN_ATTEMPT": "1",
    "GITHUB_RUN_ID": "7",
    "GITHUB_SERVER_URL": "https://github.example",
}
