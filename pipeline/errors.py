"""Every error the framework raises, in one tree.

    PipelineError
     ├── EventRejected         the envelope can't be accepted; nothing was stored
     ├── DeclarationError      a handler's declaration is wrong; raised at import
     │    └── UpdateError      an update says something MongoDB would refuse
     ├── UnknownHandler        a job names a handler that no loaded module declares
     ├── HandlerFault          a handler's result can't be used for this event
     │    ├── LaterEventFails  an event that was applied can't be, after one that came late
     │    ├── RefoldTooLarge   an event would change more of a document's past than may be
     │    └── StateMisfit      a stored state does not fit its model any more
     ├── NotFound              nothing is stored under that id
     │    └── PayloadExpired   the event is stored, its payload no longer
     ├── SnapshotGone          what was stored at a moment can't be read any more
     ├── WorkerDied            workers died while they ran the event
     ├── JobRefused            a job is none of the pipeline's
     ├── Overloaded            more waits to be done than may; nothing was stored
     ├── SettingError          a setting can't be used
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


class LaterEventFails(HandlerFault):
    """An event that was applied can't be any more, after one that came late."""


class RefoldTooLarge(HandlerFault):
    """The event would change more rows of a document than one transaction should."""


class StateMisfit(HandlerFault):
    """A stored state does not fit its model, which is another one by now."""


class NotFound(PipelineError):
    """Nothing is stored under that id."""


class PayloadExpired(NotFound):
    """The event is stored, but its payload is no longer: nothing can be made of it again."""


class SnapshotGone(PipelineError):
    """What was stored at a moment can't be read any more; begin again at a later one."""


class WorkerDied(PipelineError):
    """Workers died while they ran the event; it is set aside until a person looks."""


class JobRefused(PipelineError):
    """The job is none of the pipeline's."""


class Overloaded(PipelineError):
    """More waits to be done than may; nothing was stored. Send again later.

    Attributes:
        retry_after: seconds after which it is worth trying again.
    """

    def __init__(self, message: str | None = None, *, retry_after: float) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class SettingError(PipelineError):
    """A setting can't be used."""


class Unavailable(PipelineError):
    """A server did not answer within the time allowed."""
