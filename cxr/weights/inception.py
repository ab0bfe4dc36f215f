"""The published weights of FID's network: pytorch-fid's file, from torch's cache, else from its address."""

import urllib.request
from pathlib import Path
from urllib.error import URLError

from cxr.errors import BadInput
from cxr.weights.files import disk_told, hashes_of, locked

URL = "https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/pt_inception-2015-12-05-6726825d.pth"
SHA256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"
_PROBE_SECONDS = 5


def published_inception() -> tuple[Path, str]:
    """The file and the source in words.

    It is a pickle, which can run code when loaded; these bytes are known, and are read as weights only.

    Raises:
        BadInput: the file is not in torch's cache and not to be had, or it is not the published one.
    """
    import torch

    path = Path(torch.hub.get_dir()) / "checkpoints" / URL.rpartition("/")[2]
    with locked(path.name):
        if not path.is_file():
            _fetch(path)
        if hashes_of(path.parent, [path.name])[path.name] != SHA256:
            raise BadInput(f"{path}: not the published weights (another sha256); remove it and run again")
    return path, URL


def _fetch(path: Path) -> None:
    import torch

    try:
        urllib.request.urlopen(urllib.request.Request(URL, method="HEAD"), timeout=_PROBE_SECONDS).close()
        with disk_told(str(path)):
            path.parent.mkdir(parents=True, exist_ok=True)
            torch.hub.download_url_to_file(URL, str(path), hash_prefix=SHA256, progress=False)
    except (URLError, RuntimeError, TimeoutError) as error:
        raise BadInput(
            f"inception: its weights are not on this machine and not to be had; tried {path} and {URL} "
            f"({type(error).__name__}); put the file there, or give a safetensors file or s3://bucket/prefix of it"
        ) from None
