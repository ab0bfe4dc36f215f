"""A published folder as a repository of the Hugging Face hub, by the hub's own client; its record is committed last.

A begun repository holds `BEGUN`, with the digest of what it will hold, so that the same command goes on with it. What
the hub has already is not sent again. The token is the client's own affair: HF_TOKEN, or `hf auth login`.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from cxr.artifact.keys import CARD_KEY, CATALOG_KEY, RECORD_KEY
from cxr.artifact.record import Record
from cxr.errors import BadInput, StoreError
from cxr.store.file_cache import cache_folder

if TYPE_CHECKING:
    from huggingface_hub import CommitOperationDelete, HfApi

Answer = TypeVar("Answer")
PREFIX = "hub:"
BEGUN = "begun.txt"
HUBS_OWN = (".gitattributes",)  # what a new repository holds
LAST = (CARD_KEY, CATALOG_KEY, RECORD_KEY)
REPO = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}")
BATCH_FILES, BATCH_BYTES = 1000, 2_000_000_000  # of a commit


@dataclass(frozen=True)
class HubRepo:
    """A repository, and the one thing that may lie there."""

    name: str
    kind: str  # dataset or model
    digest: str  # of the recipe

    @property
    def uri(self) -> str:
        return f"{PREFIX}{self.name}"

    def is_finished(self) -> bool:
        """Whether it holds all of it.

        Raises:
            BadInput: no token, or it holds something else.
        """
        require_token(self.uri)
        return self._ask(lambda api: self._look(api))

    def upload(self, folder: Path, advance: Callable[[int], object]) -> None:
        """Commits a finished folder, the record last; a new repository is private.

        Args:
            advance: called with the number of files that a commit has brought.
        """
        from huggingface_hub import CommitOperationDelete

        def begin(api: "HfApi") -> None:
            api.create_repo(self.name, repo_type=self.kind, private=True, exist_ok=True)

        self._ask(begin)
        self._commit("begin", {BEGUN: self.digest.encode()})
        for keys in split_commits(folder):
            self._commit(f"{len(keys)} files", {key: folder / key for key in keys})
            advance(len(keys))
        last = {key: folder / key for key in LAST if (folder / key).is_file()}
        self._commit("finish", last, CommitOperationDelete(BEGUN))
        advance(len(last))

    def _commit(self, message: str, files: Mapping[str, Path | bytes], *further: "CommitOperationDelete") -> None:
        from huggingface_hub import CommitOperationAdd, CommitOperationDelete

        def commit(api: "HfApi") -> None:
            operations: list[CommitOperationAdd | CommitOperationDelete] = [
                CommitOperationAdd(key, content) for key, content in files.items()
            ]
            operations += further
            api.create_commit(self.name, operations, commit_message=message, repo_type=self.kind)

        self._ask(commit)

    def _look(self, api: "HfApi") -> bool:
        if not api.repo_exists(self.name, repo_type=self.kind):
            return False
        there = set(api.list_repo_files(self.name, repo_type=self.kind)) - {*HUBS_OWN}
        if RECORD_KEY in there:
            stored = Record.model_validate_json(self._read(api, RECORD_KEY))
            if stored.recipe_digest == self.digest:
                return True
            raise BadInput(f"{self.uri}: holds another publication; choose another name")
        if there and (BEGUN not in there or self._read(api, BEGUN) != self.digest):
            raise BadInput(f"{self.uri}: not empty and not begun by this command; choose another name")
        return False

    def _read(self, api: "HfApi", key: str) -> str:
        return Path(api.hf_hub_download(self.name, key, repo_type=self.kind)).read_text(encoding="utf-8")

    def _ask(self, call: "Callable[[HfApi], Answer]") -> Answer:
        """What the hub answers; what goes wrong as one line without the client's addresses and headers."""
        from huggingface_hub import HfApi

        try:
            return call(HfApi())
        except (BadInput, KeyboardInterrupt):
            raise
        except Exception as error:  # of httpx, the hub's client, the disk
            status = getattr(getattr(error, "response", None), "status_code", None)
            if status in (401, 403):
                raise BadInput(
                    f"{self.uri}: the hub refuses this token (HTTP {status}); give one that may write"
                ) from None
            why = f"HTTP {status}" if status else type(error).__name__
            raise StoreError(f"{self.uri}: the hub did not take it ({why}); the same command goes on") from None


def parse_repo(place: str) -> str:
    """The name in `hub:owner/name`.

    Raises:
        BadInput: it is none.
    """
    name = place.removeprefix(PREFIX)
    if not REPO.fullmatch(name) or ".." in name or "--" in name:
        raise BadInput(f"--to {place[:200]}: no name of the hub's; give hub:owner/name")
    return name


def staging_folder(digest: str) -> Path:
    """Where it is packed before it is sent; a run that was stopped finds it again."""
    return cache_folder().parent / "publish" / digest[:32]


def require_token(uri: str) -> None:
    from huggingface_hub import constants, get_token

    if constants.HF_HUB_OFFLINE:
        raise BadInput(f"--to {uri}: HF_HUB_OFFLINE is set; unset it")
    if not get_token():
        raise BadInput(f"--to {uri}: no token for the hub; set HF_TOKEN, or run `hf auth login`")


def split_commits(folder: Path) -> Iterator[list[str]]:
    """The keys of a folder's files but the last ones, so many at a time as one commit takes, in order."""
    keys: list[str] = []
    size = 0
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        key = path.relative_to(folder).as_posix()
        if key in LAST:
            continue
        if keys and (len(keys) == BATCH_FILES or size + path.stat().st_size > BATCH_BYTES):
            yield keys
            keys, size = [], 0
        keys.append(key)
        size += path.stat().st_size
    if keys:
        yield keys
