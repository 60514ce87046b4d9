"""What can go wrong with a server this project starts itself.

    EmbeddedError
     +-- ServerMissing     no program to start, or one that cannot run on this machine
     +-- ServerFailed      the program is there, but did not start, or would do harm
          +-- PortTaken    another program listens on its port
          +-- FolderHeld   another server works on its data folder and does not answer

Every message is one sentence that says what is wrong and what to install, set or end.
"""


class EmbeddedError(Exception):
    """A server could not be run from here."""


class ServerMissing(EmbeddedError):
    """There is no server program that can run on this machine."""


class ServerFailed(EmbeddedError):
    """The server program did not start or did not keep running."""


class PortTaken(ServerFailed):
    """Another program listens on the port."""


class FolderHeld(ServerFailed):
    """Another server works on the data folder."""
