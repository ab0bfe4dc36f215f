"""All that knows a text-to-image pipeline. Stages hold a `DiffusionModel` and ask it; they know no network of it.

family.py            what a model is asked for, and which family a folder is of
latent_diffusion.py  what all families share
frozen_texts.py      what those share whose text encoders are too large to stay in memory
noising.py           what training does to latents: noise or velocity of DDPM's schedule, rectified flow
whole_model.py       whether its files are one whole model, before a GPU is claimed
layers.py            its layers that a LoRA can change, and every name that a trainer may give one
latents.py           its autoencoder
adapters.py          which of its weights are trained; a LoRA added to them, and saved
lora_files.py        LoRA files of the usual trainers
sampler.py           from prompts and seeds to pictures
precision.py         what networks compute in, to sample and to train
training.py          learning rates and moving averages
config.py            the settings of all that

The families: stable_diffusion.py (1.x and 2.x), stable_diffusion_xl.py, stable_diffusion_3.py (and 3.5),
pixart_sigma.py, sana.py. Another one is one module more, and one entry in `cxr/weights/families.py`.
"""
