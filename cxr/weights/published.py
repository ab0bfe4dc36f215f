"""Published .pth files of known digest: from torch's cache, else from their address.

Such a file is a pickle, which can run code when loaded; these bytes are known, and are read as weights only.
"""

import urllib.request
from dataclasses import dataclass
from pathlib import Path
from urllib.error import URLError

from cxr.errors import BadInput
from cxr.store.file_cache import exclusive_lock, explain_disk_errors, file_digests

_PROBE_SECONDS = 5


@dataclass(frozen=True)
class Published:
    """A file at an address, with the beginning of its sha256."""

    name: str
    url: str
    sha256: str
    licence: str
    otherwise: str = ""  # how a user gives such a file, or what else may be done


INCEPTION = Published(
    "inception",
    "https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/pt_inception-2015-12-05-6726825d.pth",
    "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2",
    "Apache-2.0",
    ", as inception=PLACE",
)
SCRATCH = ", or train from scratch with --pretrained False"


def imagenet_file(network: str) -> Published:
    """What torchvision publishes for one of its networks; it names its files by the beginning of their sha256."""
    from torchvision.models import get_model_weights

    url = get_model_weights(network).IMAGENET1K_V1.url
    return Published(network, url, Path(url).stem.rpartition("-")[2], "BSD-3-Clause", SCRATCH)


def fetch_published(published: Published) -> Path:
    """The file on this machine.

    Raises:
        BadInput: it is not in torch's cache and not to be had, or it is not the published one.
    """
    import torch

    path = Path(torch.hub.get_dir()) / "checkpoints" / published.url.rpartition("/")[2]
    with exclusive_lock(path.name):
        if not path.is_file():
            _fetch(published, path)
        if not file_digests(path.parent, [path.name])[path.name].startswith(published.sha256):
            raise BadInput(f"{path}: not the published weights (another sha256); remove it and run again")
    return path


def _fetch(published: Published, path: Path) -> None:
    import torch

    url = published.url
    try:
        urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=_PROBE_SECONDS).close()
        with explain_disk_errors(str(path)):
            path.parent.mkdir(parents=True, exist_ok=True)
            torch.hub.download_url_to_file(url, str(path), hash_prefix=published.sha256, progress=False)
    except (URLError, RuntimeError, TimeoutError) as error:
        raise BadInput(
            f"{published.name}: its weights are not on this machine and not to be had; tried {path} and {url} "
            f"({type(error).__name__}); put the file there, give a safetensors file or s3://bucket/prefix of it"
            f"{published.otherwise}"
        ) from None
