"""A plain HTTP client for the tests of the local GitHub: no retries, no opinions."""

from typing import Any

import requests


class Client:
    """Requests to one local GitHub with one token (`None`: none)."""

    def __init__(self, api_url: str, token: str | None = None) -> None:
        self.api_url = api_url
        self.headers = {"Accept": "application/vnd.github+json"}
        if token is not None:
            self.headers["Authorization"] = f"Bearer {token}"

    def send(self, method: str, path: str, body: Any = None, **headers: str) -> requests.Response:
        url = path if path.startswith("http") else self.api_url + path
        return requests.request(method, url, json=body, headers=self.headers | headers, timeout=20)

    def get(self, path: str, **headers: str) -> requests.Response:
        return self.send("GET", path, **headers)

    def post(self, path: str, body: Any) -> requests.Response:
        return self.send("POST", path, body)

    def patch(self, path: str, body: Any) -> requests.Response:
        return self.send("PATCH", path, body)

    def delete(self, path: str) -> requests.Response:
        return self.send("DELETE", path)
