"""Claim: our DreamBooth step takes at most 1 / 1.3 of the time of the field's script on a CPU.

Their side is a plain `accelerate` loop in the manner of diffusers' examples/dreambooth/train_dreambooth.py: a data
loader that opens, resizes and normalises a PNG file for each picture, the autoencoder and the text encoder in every
step, one UNet pass, clipping, AdamW, its schedule. Same model, pictures, batch and thread, in turns; our caches are
filled before the clock starts, as they are for all but the first epoch.
"""

import tempfile
from pathlib import Path

import torch
import tyro
from _side_by_side import side_by_side, verdict
from accelerate import Accelerator
from diffusers import DDPMScheduler, StableDiffusionPipeline
from diffusers.optimization import get_scheduler
from finetune_cache import STEPS, Side, set_of
from PIL import Image
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from cxr import recipes
from cxr.data.images import encode_png
from cxr.finetune.batches import CaptionedImages
from cxr.finetune.config import FinetuneConfig
from cxr.weights import resolve

GOAL = 1.3


class Files(Dataset):
    """The script's DreamBoothDataset without class pictures."""

    def __init__(self, files: list[Path], prompts: list[str], tokenizer, size: int) -> None:
        self.files, self.prompts, self.tokenizer = files, prompts, tokenizer
        self.transforms = transforms.Compose(
            [
                transforms.Resize(size, interpolation=transforms.InterpolationMode.BILINEAR),
                transforms.CenterCrop(size),
                transforms.ToTensor(),
                transforms.Normalize([0.5], [0.5]),
            ]
        )

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, i: int) -> dict[str, torch.Tensor]:
        tokens = self.tokenizer(self.prompts[i], truncation=True, padding="max_length", return_tensors="pt")
        return {"pixels": self.transforms(Image.open(self.files[i]).convert("RGB")), "ids": tokens.input_ids[0]}


class Script:
    """The script's loop; `STEPS` steps a turn."""

    def __init__(self, config: FinetuneConfig, pictures: CaptionedImages, folder: Path) -> None:
        cuda = torch.cuda.is_available()
        self.accelerator = Accelerator(cpu=not cuda, mixed_precision="bf16" if cuda else "no")
        self.pipe = StableDiffusionPipeline.from_pretrained(
            resolve(config.model).path, dtype=torch.float32, safety_checker=None, local_files_only=True
        )
        self.schedule = DDPMScheduler.from_config(self.pipe.scheduler.config)
        self.dtype = torch.bfloat16 if cuda else torch.float32
        for frozen in (self.pipe.vae, self.pipe.text_encoder):
            frozen.requires_grad_(False).to(self.accelerator.device, self.dtype)
        files = [folder / f"{i}.png" for i in range(len(pictures))]
        for file, pixels in zip(files, pictures.pixels, strict=True):
            file.write_bytes(encode_png(pixels))
        data = Files(files, list(pictures.captions), self.pipe.tokenizer, config.size)
        optimizer = torch.optim.AdamW(self.pipe.unet.parameters(), lr=config.learning_rate)
        rates = get_scheduler("cosine", optimizer, num_warmup_steps=config.warmup, num_training_steps=200)
        loader = DataLoader(data, batch_size=config.batch, shuffle=True)
        self.unet, self.optimizer, self.loader, self.rates = self.accelerator.prepare(
            self.pipe.unet, optimizer, loader, rates
        )
        self.config = config

    def __call__(self) -> None:
        self.unet.train()
        for _, batch in zip(range(STEPS), self.loader, strict=False):
            with self.accelerator.accumulate(self.unet):
                self.step(batch)

    def step(self, batch: dict[str, torch.Tensor]) -> None:
        encoded = self.pipe.vae.encode(batch["pixels"].to(self.dtype)).latent_dist
        latents = encoded.sample() * self.pipe.vae.config.scaling_factor
        noise = torch.randn_like(latents)
        times = torch.randint(0, self.schedule.config.num_train_timesteps, (len(latents),), device=latents.device)
        noisy = self.schedule.add_noise(latents, noise, times)
        hidden = self.pipe.text_encoder(batch["ids"])[0]
        predicted = self.unet(noisy, times, hidden).sample
        epsilon = self.schedule.config.prediction_type == "epsilon"
        target = noise if epsilon else self.schedule.get_velocity(latents, noise, times)
        loss = F.mse_loss(predicted.float(), target.float(), reduction="mean")
        self.accelerator.backward(loss)
        if self.accelerator.sync_gradients:
            self.accelerator.clip_grad_norm_(self.unet.parameters(), self.config.max_grad_norm)
        self.optimizer.step()
        self.rates.step()
        self.optimizer.zero_grad()
        loss.detach().item()


def main(model: str = "tiny", size: int = 128) -> None:
    torch.set_num_threads(1)
    config = recipes.replace_fields(
        recipes.FINETUNE["tiny"](), model=model, size=size, method="dreambooth", train_text_encoder=False,
        learning_rate=1e-5,
    )  # fmt: skip
    pictures = set_of(config.batch * STEPS, size)
    with tempfile.TemporaryDirectory() as folder:
        sides = side_by_side(Side(config, pictures), Script(config, pictures, Path(folder)))
    print(f"{model}, {size} px, every weight of the UNet, batch {config.batch}, 1 thread")
    print(f"  ours {sides.our_median / STEPS:.3f} s a step, the script {sides.their_median / STEPS:.3f} s")
    print(f"  ratio of each turn: {', '.join(f'{ratio:.2f}' for ratio in sides.ratios)}")
    verdict(sides.ratio >= GOAL, f"{sides.ratio:.2f} times the script's steps a second (at least {GOAL})")


if __name__ == "__main__":
    tyro.cli(main)
