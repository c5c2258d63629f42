"""A file on an HTTP server, read from front to back; a connection that breaks is made anew where it broke off.

webdataset itself reads HTTP through a `curl` that it starts: what a connection cut half-way leaves is a tar that ends
early, and no reason.
"""

from __future__ import annotations

import http.client
import io
import logging
import re
import time
import urllib.error
import urllib.request
from typing import Any, BinaryIO, cast

from core.errors import DataError

LOG = logging.getLogger(__name__)
# Seconds before each further attempt; an attempt that brings data starts the count anew.
PAUSES = (0.5, 1.0, 2.0, 4.0, 8.0)
TIMEOUT = 60.0
BUFFER = 2**20
# Of the client's errors (RFC 9110, 15.5; RFC 6585) those that may pass: timeout, too early, too many requests.
PASSING = (408, 425, 429)


def open_remote(url: str) -> BinaryIO:
    """The file at `url` (http or https) as a stream. Reading it raises DataError naming the URL once all attempts
    failed, at once where the server refuses it, and where the file changed between two attempts."""
    return cast(BinaryIO, io.BufferedReader(RemoteFile(url), BUFFER))


class RemoteFile(io.RawIOBase):
    """Reads each byte once and in order, over as many connections as that takes."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self.url = url
        self._response: Any = None
        self._at, self._failures = 0, 0
        # Length and entity tag, so that the rest of a file is not taken from another version of it.
        self._version: tuple[int, str | None] | None = None

    def readable(self) -> bool:
        """Yes."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill `buffer` with the next bytes, as many as have come; returns how many, 0 at the end."""
        while True:
            try:
                response = self._connection()
                count = int(response.readinto(buffer))
                if count == 0 and self._at < self._length():
                    raise ConnectionError("the connection was closed early")
            except (OSError, http.client.HTTPException) as error:
                self._disconnect()
                self._wait_after(error)
                continue
            self._at += count
            self._failures = 0
            return count

    def close(self) -> None:
        """End the connection."""
        self._disconnect()
        super().close()

    def _disconnect(self) -> None:
        if self._response is not None:
            self._response.close()
        self._response = None

    def _length(self) -> int:
        assert self._version is not None
        return self._version[0]

    def _connection(self) -> Any:
        """The response that brings the next byte; asked for where there is none."""
        if self._response is None:
            headers = {"Range": f"bytes={self._at}-"} if self._at else {}
            request = urllib.request.Request(self.url, headers=headers)
            response = urllib.request.urlopen(request, timeout=TIMEOUT)
            self._response = response
            begins, length = extent(response, self.url)
            self._check_version((length, response.headers.get("ETag")))
            skip(response, self._at - begins)
        return self._response

    def _check_version(self, version: tuple[int, str | None]) -> None:
        if self._version not in (None, version):
            raise DataError(f"{self.url} changed while it was read", "start again once nothing writes there any more")
        self._version = version

    def _wait_after(self, error: Exception) -> None:
        """Sleep until the next attempt. Raises DataError where there is none."""
        code = error.code if isinstance(error, urllib.error.HTTPError) else 0
        refused = 400 <= code < 500 and code not in PASSING
        if refused or self._failures >= len(PAUSES):
            reason = str(error) or type(error).__name__
            times = "" if refused else f" after {self._failures + 1} attempts"
            raise DataError(
                f"{self.url} could not be read{times}: {reason}", "check loader.url, and that the server has the shards"
            ) from error
        LOG.warning("%s: %s; trying again from byte %d on", self.url, error, self._at)
        time.sleep(PAUSES[self._failures])
        self._failures += 1


def extent(response: Any, url: str) -> tuple[int, int]:
    """The first byte that a response brings, and the whole file's length. Raises DataError where it is not told."""
    ranged = re.fullmatch(r"bytes (\d+)-\d+/(\d+)", response.headers.get("Content-Range", ""))
    if response.status == http.client.PARTIAL_CONTENT and ranged:
        return int(ranged[1]), int(ranged[2])
    length = response.headers.get("Content-Length", "")
    if response.status == http.client.OK and length.isdigit():
        return 0, int(length)
    raise DataError(f"{url}: the server does not say how long the file is", "serve the shards as plain files")


def skip(response: Any, count: int) -> None:
    """Read `count` bytes of a server that knows no ranges, and drop them."""
    while count > 0:
        passed = len(response.read(min(count, BUFFER)))
        if not passed:
            raise ConnectionError("the connection was closed early")
        count -= passed
