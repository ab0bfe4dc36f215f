"""cxr: do synthetic chest X-rays help a classifier, and are they safe to share?

The pipeline, in the order data flows:

recipes     named complete configurations
data        findings, prompts, the user's prompt lists, phantoms, sources, pixels, splits, the one catalog
ingest      from a source of real X-rays to a split set
pretrain    the embedded base model: autoencoder, text encoder, UNet, trained on phantoms
weights     base models and LoRAs by name: pinned, verified, fetched once
latents     pictures to what a diffusion model trains on
finetune    DreamBooth and LoRA on a base model: batches, objective, loop, validation, checkpoints
generate    plan, sampler, writer, finish: from prompts to a labelled set
evaluate    how good, how diverse, how many near-copies: figures with intervals and floors, agreement, pictures, page
classify    a classifier: networks, augmentation on batches, one loop that validation chooses from, scores
study       does it help: arms, trials, statistics over seeds and patients, the answer in words
report      what pages share; a study's tables, figures and page
nightly     one night after another: lease, gate, and the pointer that readers follow
gan         DCGAN and LeNet-5 on 28 px pictures: a lab, not X-rays
networks    the small network that pretraining, evaluation and classification share
ranks       a worker's place among those that train together
proportions intervals of a share of patients, also where nothing varied
store       where artifacts live: a folder or S3; records; verification
cluster     everything that touches Ray
assets      the embedded base model and extractor
cli, screen, progress, errors: the door of every job, its progress, and what a user can mend

`jobs/` puts these together, one short file a job.
"""
