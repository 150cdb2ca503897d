"""The errors that the ledger raises on purpose.

    RuntimeError
    └── LedgerError              its text is one clear line for a person
        ├── LedgerBusyError      too much waits to be written: come again in a moment
        ├── LedgerDownError      the file cannot be written now: come again later
        ├── LedgerFileError      the file cannot be opened
        │   └── LedgerLockedError    because another process has it
        ├── SpoolError           the spool cannot be used
        ├── AddressError         a port cannot be listened on
        └── UnreachableError     neither a file nor a service is there to ask
    ValueError
    ├── MalformedError           bytes that are no OTLP request
    └── QuestionError            a question with a parameter that is unknown or cannot be read

Whoever answers a sender or a person turns them into a status or a line; nothing else of ours is raised on purpose.
"""

from __future__ import annotations


class LedgerError(RuntimeError):
    """The ledger cannot do it; the text says why and what to do."""


class LedgerBusyError(LedgerError):
    """Too many calls wait to be written. Whoever sent them should send them again in a moment."""


class LedgerDownError(LedgerError):
    """The books cannot be written now. Whoever sent calls should send them again later."""


class LedgerFileError(LedgerError):
    """The ledger's file cannot be opened."""


class LedgerLockedError(LedgerFileError):
    """Another process has the ledger's file open."""


class SpoolError(LedgerError):
    """The spool's folder cannot be read, or cannot be made or written."""


class AddressError(LedgerError):
    """A port cannot be listened on."""


class UnreachableError(LedgerError):
    """Neither a ledger file nor a service is there to ask."""


class MalformedError(ValueError):
    """The bytes are no OTLP trace request."""


class QuestionError(ValueError):
    """A question has a parameter that is unknown or cannot be read; the text names it."""
