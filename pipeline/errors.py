"""Every error the framework raises, in one tree.

    PipelineError
     ├── EventRejected         the envelope can't be accepted; nothing was stored
     ├── DeclarationError      a handler's declaration is wrong; raised at import
     │    └── UpdateError      an update says something MongoDB would refuse
     ├── UnknownHandler        a job names a handler that no loaded module declares
     ├── HandlerFault          a handler's result can't be used for this event
     ├── NotFound              nothing is stored under that id
     ├── EventFailed           an event failed in its handler; that is recorded
     ├── JobRefused            a job calls something that is not the entry point
     └── Unavailable           a server did not answer within the time allowed

The docstring is the default message; what went wrong stays in attributes.
"""

from __future__ import annotations


class PipelineError(Exception):
    """Base of all errors of the framework."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or (self.__doc__ or "").strip().splitlines()[0])


class EventRejected(PipelineError):
    """The event can't be accepted; nothing of it was stored.

    Attributes:
        field: the envelope field at fault, or None where the whole line is.
        reason: one sentence for a person.
    """

    def __init__(self, reason: str, *, field: str | None = None) -> None:
        super().__init__(f"{field}: {reason}" if field else reason)
        self.field = field
        self.reason = reason


class DeclarationError(PipelineError):
    """A handler's declaration is wrong."""


class UpdateError(DeclarationError):
    """An update says something MongoDB would refuse."""


class UnknownHandler(PipelineError):
    """No loaded module declares this handler."""


class HandlerFault(PipelineError):
    """A handler's result can't be used for this event."""


class NotFound(PipelineError):
    """Nothing is stored under that id."""


class EventFailed(PipelineError):
    """An event failed in its handler; it is recorded, and tried again or left to a person."""


class JobRefused(PipelineError):
    """The job calls something that is not the pipeline's entry point."""


class Unavailable(PipelineError):
    """A server did not answer within the time allowed."""
