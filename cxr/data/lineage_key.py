"""The owner's key: outside a real set, patients have pseudonyms under this key alone.

Whoever holds a set but not the key can try every id there is and recognise none. The key never leaves the processes
that drive a job: no record, plan, worker or runtime environment holds it.
"""

import hashlib
import hmac
import os
import secrets
import stat
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from cxr.errors import BadInput
from cxr.progress import note

VARIABLE = "CXR_LINEAGE_KEY"
MIN_KEY_LENGTH = 16  # characters of a key
KEY_ADVICE = f"set {VARIABLE} to a secret of {MIN_KEY_LENGTH} characters or more, as of `openssl rand -hex 32`"


@dataclass(frozen=True)
class LineageKey:
    """Keyed digests (HMAC-SHA256, RFC 2104), in hex."""

    secret: bytes = field(repr=False)

    @property
    def id(self) -> str:
        """Tells keys apart, and does not give them away."""
        return self._digest("key id", "")[:16]

    def pseudonym(self, hashed_id: str) -> str:
        """Of the patient of this `lineage.hashed_id`."""
        return self._digest("patient", hashed_id)

    def commitment(self, pseudonyms: Iterable[str]) -> str:
        """One digest of patients' pseudonyms in any order."""
        return self._digest("patients", "\n".join(sorted(pseudonyms)))

    def draw(self, of: str, text: str) -> float:
        """A number from 0 to below 1: by chance to all but who has the key, who gets the same one again."""
        return int(self._digest(of, text)[:13], 16) / 16**13

    def secret_seed(self, of: str, text: str) -> int:
        """A number below 2**256 for draws that nobody else may repeat; it does not give the key away."""
        return int(self._digest(of, text), 16)

    def _digest(self, of: str, text: str) -> str:
        return hmac.digest(self.secret, f"{of}\n{text}".encode(), hashlib.sha256).hex()


def owner_key() -> LineageKey:
    """The key of `CXR_LINEAGE_KEY`, else of the owner's file, which is made when it is first needed.

    Raises:
        BadInput: the key is too short, others can read its file, or there is no place for one.
    """
    return find_owner_key() or _create_key(key_file())


def find_owner_key() -> LineageKey | None:
    """The same; None where there is no key yet. Raises as `owner_key`."""
    if given := os.environ.get(VARIABLE, ""):
        return _parse_key(given, VARIABLE)
    path = key_file()
    try:
        text = path.read_text()
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{path}: cannot be read ({type(error).__name__}); mend it, or {KEY_ADVICE}") from None
    if stat.S_IMODE(mode) & 0o077:
        raise BadInput(f"{path}: others than its owner can read this key; run `chmod 600 {path}`, or set {VARIABLE}")
    return _parse_key(text, str(path))


def key_file() -> Path:
    """Where the owner's key lies."""
    return _user_folder("XDG_CONFIG_HOME", ".config") / "lineage.key"


def lists_folder() -> Path:
    """Where the owner keeps lists of patients, see `lineage_lists`."""
    return _user_folder("XDG_DATA_HOME", ".local/share") / "lineage"


def _user_folder(variable: str, default: str) -> Path:
    try:
        return Path(os.environ.get(variable) or Path.home() / default) / "cxr"
    except RuntimeError:
        raise BadInput(f"this user has no home folder to keep the key of patients' names in; {KEY_ADVICE}") from None


def _parse_key(text: str, where: str) -> LineageKey:
    if len(text.strip()) < MIN_KEY_LENGTH:
        raise BadInput(f"{where}: too short for a key; give a secret of {MIN_KEY_LENGTH} characters or more")
    return LineageKey(text.strip().encode())


def _create_key(path: Path) -> LineageKey:
    """Writes a new key; of several processes that do so at once one wins, and all have its key."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=path.parent, prefix=".key-") as file:  # mode 600 from the first byte
            file.write(secrets.token_hex(32) + "\n")
            file.flush()
            os.fsync(file.fileno())
            with suppress(FileExistsError):
                os.link(file.name, path)
                note(f"a key that names patients was made: {path}; keep it, or nobody can say later whom a model saw")
    except OSError as error:
        raise BadInput(
            f"{path}: a key that names patients cannot be kept here ({error.strerror}); {KEY_ADVICE}"
        ) from None
    return find_owner_key() or _create_key(path)
