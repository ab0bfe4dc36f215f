"""All that knows a text-to-image pipeline. Stages hold a `DiffusionModel` and ask it; they know no network of it.

family.py            what a model is asked for, and which family a folder is of
stable_diffusion.py  the one family so far: Stable Diffusion 1.x and 2.x
whole_model.py       whether its files are one whole model, before a GPU is claimed
layers.py            its layers that a LoRA can change, and every name that a trainer may give one
latents.py           its autoencoder
adapters.py          which of its weights are trained; a LoRA added to them, and saved
lora_files.py        LoRA files of the usual trainers
sampler.py           from prompts and seeds to pictures
precision.py         what networks compute in, to sample and to train
training.py          learning rates and moving averages
config.py            the settings of all that

Another family is one module here, with its subclass of `DiffusionModel`, and one entry in `cxr/weights/families.py`.
"""
