"""The local GitHub as most tests want it: one repository, people with roles, and a token."""

from pathlib import Path

from coven_action.emulator.server import LocalGitHub

FILES = {
    "README.md": "# billing\n",
    "src/tax.py": "def total(net, rate):\n    return int(net * (1 + rate))\n",
}


class SeededGitHub(LocalGitHub):
    """A local GitHub with the public repository acme/billing.

    Attributes:
        repository: acme/billing, owned by an organisation.
        maintainer: A user with the role `write`.
        triager: A user with the role `triage`.
        outsider: A user without any role.
        token: A GITHUB_TOKEN for acme/billing with every permission the quickstart workflow asks for.
    """

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.repository = self.seed_repository("acme", "billing", FILES)
        self.maintainer = self.world.add_collaborator(self.repository, "maintainer", "write")
        self.triager = self.world.add_collaborator(self.repository, "triager", "triage")
        self.outsider = self.world.add_user("outsider")
        self.token = self.world.add_actions_token(self.repository)
