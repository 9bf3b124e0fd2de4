"""docker and docker compose as a test uses them."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parents[3]
ROLES: Final = ("gateway", "commands", "relay", "projector-rds", "projector-cache")
_OURS: Final = ("COMPOSE_", "HEADRACE_", "AWS_")


class Compose:
    """One project of docker-compose.yml. Every call waits for its end and fails with what the command said."""

    def __init__(self, project: str, **more: str) -> None:
        """`more`: variables of the project, as its user would set them."""
        self.project = project
        self.image = f"{project}:test"
        caller = {name: value for name, value in os.environ.items() if not name.startswith(_OURS)}
        self._environment = {**caller, "HEADRACE_PORT": "0", "HEADRACE_IMAGE": self.image, **more}

    def up(self, *flags: str) -> None:
        """Start what is not running and wait until all of it is healthy."""
        try:
            self("up", "--detach", "--wait", "--wait-timeout", "240", *flags, seconds=600)
        except AssertionError as failed:
            raise AssertionError(f"{failed}\n{self('ps', '--all')}\n{self('logs', '--tail', '40')}") from failed

    def address(self, service: str, port: str) -> str:
        """HOST:PORT where a service's port is published."""
        return self("port", service, port).strip()

    def url(self) -> str:
        """Where the gateway is published."""
        return "http://" + self.address("gateway", "8080")

    def containers(self) -> dict[str, dict[str, Any]]:
        """Service -> what the engine knows of its container."""
        known: list[dict[str, Any]] = json.loads(self._docker("inspect", *self("ps", "--all", "--quiet").split()))
        return {each["Config"]["Labels"]["com.docker.compose.service"]: each for each in known}

    def remove(self) -> None:
        """Containers, volumes, network and image."""
        self("down", "--volumes", "--remove-orphans", seconds=180)
        self._docker("image", "rm", "--force", self.image)

    def __call__(self, *words: str, seconds: float = 60) -> str:
        place = ("--project-name", self.project, "--file", str(ROOT / "docker-compose.yml"))
        return self._docker("compose", "--progress", "plain", *place, *words, seconds=seconds)

    def _docker(self, *words: str, seconds: float = 60) -> str:
        done = subprocess.run(("docker", *words), env=self._environment, capture_output=True, text=True, timeout=seconds, check=False)
        assert done.returncode == 0, f"docker {' '.join(words)}: {done.stdout[-4000:]}{done.stderr[-8000:]}"
        return done.stdout
