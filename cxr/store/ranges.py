"""An object as a file that can be read anywhere, for pyarrow."""

import io
from collections.abc import Callable


class Ranges(io.RawIOBase):
    """Each read asks for its range, by the client that everything else is asked by."""

    def __init__(self, get: Callable[[int, int], bytes], size: int) -> None:
        """`get(start, count)` gives these bytes of an object of `size`; count is at least 1."""
        self.get, self.size, self.at = get, size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self.at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self.at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self.at, io.SEEK_END: self.size}[whence]
        return self.at

    def read(self, count: int = -1) -> bytes:
        left = max(0, self.size - self.at)
        count = left if count is None or count < 0 else min(count, left)
        data = self.get(self.at, count) if count else b""
        self.at += len(data)
        return data
