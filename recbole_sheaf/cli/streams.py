"""Standard output and error that end no command: what nobody reads, or no screen can show, costs no file.

Where the reader of a pipe has gone, such as ``head``, a command goes on, writes its files and ends with its own exit
code; one that makes nothing but what is read stops (:func:`until_unread`). A disk that is full under ``> file`` is said
at the end. A character that the encoding lacks is written as its escape, so that no two texts become one.
"""

import contextlib
import errno
import io
import os
import sys
from collections.abc import Iterator
from typing import Any, Optional

ESCAPED = "backslashreplace"


class Unread(BrokenPipeError):
    """Nobody reads the standard output any more, and there is nothing else to do."""


class _Output(io.FileIO):
    """A descriptor that takes whatever is written, and keeps what became of it."""

    def __init__(self, descriptor: int) -> None:
        super().__init__(descriptor, "w", closefd=False)
        self.unread, self.stops = False, False
        self.error: Optional[OSError] = None

    def write(self, data: Any) -> int:
        if not self.unread and self.error is None:
            try:
                return super().write(data)
            except BrokenPipeError:
                self.unread = True
            except BlockingIOError:
                raise
            except OSError as error:
                self.error = error
        if self.unread and self.stops:
            raise Unread(errno.EPIPE, os.strerror(errno.EPIPE))
        return memoryview(data).nbytes


@contextlib.contextmanager
def steady_streams() -> Iterator[None]:
    """A context in which writing to the standard output and error raises nothing.

    Raises:
        OSError: in the end, if the standard output could not be written for another reason than that nobody reads it.
    """
    _open_closed()
    with contextlib.ExitStack() as stack:
        stack.enter_context(_steady("stderr"))
        output = stack.enter_context(_steady("stdout"))
        yield
    if output is not None and output.error is not None:
        raise output.error


@contextlib.contextmanager
def until_unread() -> Iterator[None]:
    """A context that :class:`Unread` ends once nobody reads the standard output."""
    output = _output_of(sys.stdout)
    if output is None:
        yield
        return
    output.stops = True
    try:
        yield
        _flush(sys.stdout)
    finally:
        output.stops = False


def shows_all_characters(stream: Any) -> bool:
    """Whether the stream's encoding has every character."""
    return (getattr(stream, "encoding", None) or "").lower().startswith("utf")


def _open_closed() -> None:
    """Give a closed descriptor of the first three to the null device, or the next file that is opened would get it."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest that is free


@contextlib.contextmanager
def _steady(name: str) -> Iterator[Optional[_Output]]:
    """Replace a stream of this process; one that is closed, or a test's own, by what it can be."""
    before = getattr(sys, name)
    if before is None:
        with open(os.devnull, "w", encoding="utf-8") as nowhere:
            yield from _instead(name, before, nowhere)
    elif not isinstance(before, io.TextIOWrapper) or _output_of(before) is not None:
        yield None
    elif isinstance(_raw(before), io.FileIO):
        output = _Output(before.fileno())
        buffer: Any = io.BufferedWriter(output)
        _flush(before)
        yield from _instead(
            name,
            before,
            io.TextIOWrapper(buffer, before.encoding, ESCAPED, None, before.line_buffering, before.write_through),
            output,
        )
    else:
        errors = before.errors
        before.reconfigure(errors=ESCAPED)
        try:
            yield None
        finally:
            before.reconfigure(errors=errors)


def _instead(name: str, before: Any, stream: Any, output: Optional[_Output] = None) -> Iterator[Optional[_Output]]:
    setattr(sys, name, stream)
    try:
        yield output
    finally:
        _flush(stream)
        setattr(sys, name, before)


def _raw(stream: Any) -> Any:
    """What lies under a stream of text: its file, whether or not there is a buffer between."""
    buffer = getattr(stream, "buffer", None)
    return getattr(buffer, "raw", buffer)


def _output_of(stream: Any) -> Optional[_Output]:
    raw = _raw(stream)
    return raw if isinstance(raw, _Output) else None


def _flush(stream: Any) -> None:
    with contextlib.suppress(OSError, ValueError):  # a closed one too
        stream.flush()
