"""cxr: do synthetic chest X-rays help a classifier, and are they safe to share?

A room imports only rooms that stand below it (`tests/unit/test_rooms.py`); the stages do not know one another.

jobs        the commands: options, and the stages put together
recipes     named complete configurations

ingest      from a source of real X-rays to a split set
pretrain    the embedded base model and extractor, trained on phantoms
finetune    DreamBooth, LoRA and distillation of a base model: batches, objective, loop, validation, checkpoints
generate    plan, writer, finish: from prompts to a labelled set
evaluate    how good, how diverse, how many near-duplicates: metrics with intervals and references, pages
audit       is it safe to share: attacks with their power and limits, a page for a data-protection officer
study       does it help: arms, trials, statistics over seeds and patients, the answer in words, its pages
nightly     one night after another: lease, gate, and the pointer that readers follow
reader      a blind reader study: cases, a page a reader, a key, and what the answers say
browse      one static page over any artifacts: galleries, records in words, what was made from what
publish     a set or a model handed on, to a folder, a bucket or the hub: what may leave, forms, cards
labs        a GAN and LeNet-5 on 28 px pictures: not X-rays

detectors   of near-duplicates, by details and by key points: the audit, evaluate and generate's filter call them
classify    a classifier: networks, augmentation on batches, one loop that validation chooses from, scores
diffusion   all that knows a text-to-image pipeline: loading, LoRA layers, latents, sampling, saving
weights     from a name to verified files: pinned, verified, fetched once
data        pixels, sources, splits, duplicates, lineage, the one catalog
embedded    phantoms, and the assets trained on them
prompts     findings' words, templates, lists, reports

artifact    the life of an artifact: its record, and the commits of one in the making
store       bytes: a local folder and S3 behind one small interface
cluster     everything that touches Ray
report      what pages and plots share
cli, cost, errors, progress, screen, tables, ranks
"""
