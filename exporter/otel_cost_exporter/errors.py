"""The errors that the ledger raises on purpose.

    RuntimeError
    └── LedgerError              its text is one clear line for a person
        ├── LedgerBusyError      too much waits to be written: come again in a moment
        ├── LedgerDownError      the file cannot be written now: come again later
        ├── LedgerFileError      the file cannot be opened
        │   └── LedgerLockedError    because another process has it
        ├── SpoolError           the spool cannot be used
        ├── AddressError         a port cannot be listened on
        ├── CertificateError     a port cannot speak TLS with the certificate and key that are given
        └── UnreachableError     neither a file nor a service is there to ask
    ValueError
    ├── MalformedError           bytes that are no OTLP request
    ├── TooLargeError            a request that is larger than what is taken at once
    ├── UnsupportedError         a request in a form that is not taken here
    ├── UnknownSenderError       a request without a token, or with one that nobody has given out
    ├── ForbiddenError           a request with a token that is for something else
    └── QuestionError            a question with a parameter that is unknown or cannot be read
        └── NotInBooksError      what is asked about is not in the books

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


class CertificateError(LedgerError):
    """A certificate or its key cannot be used."""


class UnreachableError(LedgerError):
    """Neither a ledger file nor a service is there to ask."""


class MalformedError(ValueError):
    """The bytes are no OTLP request."""


class TooLargeError(ValueError):
    """A request is larger than what is taken at once."""


class UnsupportedError(ValueError):
    """A request comes in a content type or encoding that is not taken here."""


class UnknownSenderError(ValueError):
    """A request has no token, or one that nobody has given out."""


class ForbiddenError(ValueError):
    """A request has a token that is for something else."""


class QuestionError(ValueError):
    """A question has a parameter that is unknown or cannot be read; the text names it."""


class NotInBooksError(QuestionError):
    """There is no such question, or nothing in the books of what it asks about; the text says of what."""
