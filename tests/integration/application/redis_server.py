"""A real Redis in a process of its own, on a socket file, that a test can kill and start again."""

import subprocess
import time
from pathlib import Path

from redis import Redis
from redis.exceptions import ConnectionError as NotThereError


class RedisProcess:
    """Keeps what it was told through a kill: every write is in its file before it answers."""

    def __init__(self, program: Path, folder: Path) -> None:
        self._program, self._folder = program, folder
        self.socket = folder / "redis.sock"
        self.url = f"unix://{self.socket}"
        self.start()

    def start(self) -> None:
        options = ["--port", "0", "--unixsocket", str(self.socket), "--dir", str(self._folder)]
        kept = ["--save", "", "--appendonly", "yes", "--appendfsync", "always"]
        self._process = subprocess.Popen([str(self._program), *options, *kept], stdout=subprocess.DEVNULL)
        while True:
            try:
                self.client().ping()
            except NotThereError:
                assert self._process.poll() is None, "it did not start"
                time.sleep(0.01)
            else:
                return

    def client(self) -> Redis:
        return Redis.from_url(self.url, decode_responses=True)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()
