"""Over the Hugging Face hub, by pinned commit, into the hub's own cache; every file checked against the commit."""

import hashlib
from pathlib import Path

from cxr.artifact.keys import RECORD_KEY
from cxr.errors import BadInput, disk_full
from cxr.store import sha256
from cxr.store.file_cache import exclusive_lock, file_digests
from cxr.weights.files import HALVES, INDEX, MODEL, UNUSED, FileSpec, pipeline_parts, wanted_files

_PROBE_SECONDS = 5
_LARGEST_IN_GIT = 10_000_000  # bytes; the hub keeps larger files in LFS


def from_hub(
    spec: str, mirrors: tuple[str, ...], wanted: FileSpec, pinned: dict[str, str], access: str = ""
) -> tuple[Path, str]:
    """The folder and the source in words, of the first mirror that has the files: from the cache, else the network."""
    from huggingface_hub.errors import LocalEntryNotFoundError

    tried: list[str] = []
    with exclusive_lock(sha256(spec.encode())[:32]):
        for offline in (True, False):
            silent = "" if offline else _silent_hub()
            for mirror in mirrors:
                try:
                    if silent:
                        raise ValueError(silent)
                    return _snapshot(mirror, wanted, pinned, offline), f"hub {mirror}"
                except Exception as error:  # of httpx, xet, the disk: whatever it was, the next mirror may do
                    if full := disk_full(error, spec):
                        raise full from None
                    if not (offline and isinstance(error, LocalEntryNotFoundError)):
                        tried.append(f"{mirror} ({_why(error)})")
    raise BadInput(
        f"{spec}: not on this machine and not to be had; tried {', '.join(tried)}; "
        f"{f'{access}; or ' if access else ''}connect to the internet, or give {wanted.instead}"
    )


def _silent_hub() -> str:
    """Why the hub cannot be asked, or nothing. In seconds, where the client itself would retry for half a minute."""
    from huggingface_hub import constants
    from huggingface_hub.utils import get_session

    if constants.HF_HUB_OFFLINE:
        return "HF_HUB_OFFLINE is set"
    try:
        get_session().head(constants.ENDPOINT, timeout=_PROBE_SECONDS)
    except Exception as error:  # of httpx or httpx2, as the hub's client has it
        return f"the hub does not answer: {type(error).__name__}"
    return ""


def _snapshot(mirror: str, wanted: FileSpec, pinned: dict[str, str], offline: bool) -> Path:
    """The commit's folder in the cache. A file that is not the published one is removed and a ValueError names it."""
    from huggingface_hub import get_cached_repo_tree, hf_hub_download, snapshot_download

    repo, _, commit = mirror.partition("@")
    if wanted is MODEL:  # of another family, it is not fetched
        pipeline_parts(
            Path(hf_hub_download(repo, INDEX, revision=commit, local_files_only=offline)).read_bytes(), mirror
        )

    def take(*more: str) -> Path:
        return Path(
            snapshot_download(
                repo,
                revision=commit,
                local_files_only=offline,
                allow_patterns=[*wanted.patterns, *wanted.others, RECORD_KEY, *more],
                ignore_patterns=[f"{name}/*" for name in UNUSED],
            )
        )

    folder = take()
    if wanted is MODEL and not _is_whole(folder):  # a part may be there in half precision alone
        folder = take(*HALVES)
    record = [RECORD_KEY] if (folder / RECORD_KEY).is_file() else []
    hashes = file_digests(folder, [*wanted_files(folder, wanted), *record])
    published = {file.path: file.blob_id for file in get_cached_repo_tree(repo, revision=commit)}
    for name, found in hashes.items():
        if published.get(name) not in _blob_ids(folder / name, found):
            (folder / name).resolve().unlink()
            (folder / name).unlink(missing_ok=True)
            raise ValueError(f"{name} was damaged")
        if pinned.get(name, found) != found:
            raise ValueError(f"{name} is not the published one: sha256 {found[:12]}..., not {pinned[name][:12]}...")
    return folder


def _is_whole(folder: Path) -> bool:
    try:
        return bool(wanted_files(folder, MODEL))
    except BadInput:
        return False


def _blob_ids(path: Path, digest: str) -> set[str]:
    """What git calls this content in a commit: as a file of its own, and as the LFS pointer to its sha256."""
    size = path.stat().st_size
    contents = [f"version https://git-lfs.github.com/spec/v1\noid sha256:{digest}\nsize {size}\n".encode()]
    if size <= _LARGEST_IN_GIT:
        contents.append(path.read_bytes())
    return {hashlib.sha1(b"blob %d\0" % len(c) + c, usedforsecurity=False).hexdigest() for c in contents}


def _why(error: Exception) -> str:
    """A few words without addresses, headers or keys: the client's own messages hold all of these."""
    if isinstance(error, BadInput) or type(error) is ValueError:
        return str(error)
    if type(error).__name__ == "CachedRepoTreeNotFoundError":
        return "in the cache, but without the listing to verify it by"
    status = getattr(getattr(error, "response", None), "status_code", None)
    return f"HTTP {status}" if status else type(error).__name__
