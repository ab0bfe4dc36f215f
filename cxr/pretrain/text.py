"""Tokenizer and text encoder of the embedded model, in CLIP's shape."""

import json
import re
from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from cxr.pretrain.config import TextConfig
from cxr.prompts.findings import (
    FINDINGS,
    PATTERNS,
    SEVERITIES,
    SIDES,
    VIEWS,
    ZONES,
    Attributes,
    sample_attributes,
    sample_combination,
)
from cxr.prompts.templates import describe_attributes

START, END = "<|startoftext|>", "<|endoftext|>"
ALL_PATTERNS = tuple(p for patterns in PATTERNS.values() for p in patterns)
OF_A_SIGN: dict[str, tuple[str, ...]] = {
    "severity": SEVERITIES,
    "side": SIDES,
    "zone": ZONES,
}  # that a pattern may have
OF_THE_PICTURE: dict[str, tuple[str, ...]] = {"view": (*VIEWS, "lateral"), "sex": ("F", "M")}
LETTERS = tuple("abcdefghijklmnopqrstuvwxyz")
WORD_SHIFT, WORD_LOSS, UNKNOWN_WORDS = 3.0, 0.1, 2.0  # places, share, number on average
IGNORED = -100  # cross_entropy's mark for a target that does not apply


def sample_captions(count: int, several: float, rng: np.random.Generator) -> tuple[list[str], list[Attributes]]:
    """Draws attributes of any finding, patient and pattern, each with one caption in the standard phrasing.

    Args:
        several: share of captions that name several patterns.
    """
    drawn = []
    for _ in range(count):
        alone = (FINDINGS[rng.integers(len(FINDINGS))],)
        findings = sample_combination(rng) if rng.random() < several else alone
        drawn.append(sample_attributes(findings, "FM"[rng.integers(2)], int(rng.integers(3, 95)), rng))
    return [describe_attributes(a, rng) for a in drawn], drawn


def train_tokenizer(config: TextConfig, corpus: Sequence[str]) -> CLIPTokenizer:
    """Byte-level BPE with CLIP's splitting and end-of-word marks: any text can be written with it."""
    clip = CLIPTokenizer()._tokenizer  # CLIP's own normalizer and splitting, with an empty vocabulary
    words = Counter(
        piece
        for text in corpus
        for piece, _ in clip.pre_tokenizer.pre_tokenize_str(clip.normalizer.normalize_str(text))
    )
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    bpe = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    bpe.pre_tokenizer = pre_tokenizers.WhitespaceSplit()  # the pieces come split already
    bpe.train_from_iterator(
        (" ".join([word] * count) for word, count in sorted(words.items())),
        trainers.BpeTrainer(
            vocab_size=config.vocabulary - len(alphabet) - 2,
            initial_alphabet=alphabet,
            end_of_word_suffix="</w>",
            show_progress=False,
        ),
    )

    state = json.loads(bpe.to_str())["model"]
    tokens = alphabet + [a + "</w>" for a in alphabet]
    tokens += [t for t in sorted(state["vocab"], key=state["vocab"].get) if t not in set(tokens)]
    vocabulary = {token: i for i, token in enumerate([*tokens, START, END])}
    merges = [tuple(m) for m in state["merges"]]
    return CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=config.length)


def jumble(text: str, rng: np.random.Generator) -> str:
    """The same words said otherwise: clauses in another order, words swapped, lost, and unknown ones thrown in.

    Trained on tidy sentences alone, the encoder learns their shapes by heart and stumbles over a new one.
    """
    clauses = re.split(r"(?<=[.,:;])\s+", text)
    words = " ".join(clauses[i] for i in rng.permutation(len(clauses))).split()
    order = np.argsort(np.arange(len(words)) + WORD_SHIFT * rng.random(len(words)))
    kept = [words[i] for i in order if rng.random() > WORD_LOSS]
    unknown = ["".join(rng.choice(LETTERS, rng.integers(2, 9))) for _ in range(rng.poisson(UNKNOWN_WORDS))]
    for word in unknown:
        kept.insert(int(rng.integers(len(kept) + 1)), word)
    return " ".join(kept)


def make_text_encoder(config: TextConfig, tokenizer: CLIPTokenizer) -> CLIPTextModel:
    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=config.width,
            intermediate_size=4 * config.width,
            projection_dim=config.width,
            num_hidden_layers=config.layers,
            num_attention_heads=config.heads,
            max_position_embeddings=config.length,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )


def tokens_of(tokenizer: CLIPTokenizer, texts: Sequence[str]) -> Tensor:
    """int64 [len(texts), length], padded and cut to the encoder's length."""
    return tokenizer(list(texts), padding="max_length", truncation=True, return_tensors="pt").input_ids


class AttributeHead(nn.Module):
    """Reads off the end-of-text state which patterns a caption names, the severity, side and zone of each, and view and
    sex; thrown away after training."""

    def __init__(self, width: int) -> None:
        super().__init__()
        patterns = len(ALL_PATTERNS)
        self.patterns = nn.Linear(width, patterns)
        self.signs = nn.ModuleDict({name: nn.Linear(width, patterns * len(v)) for name, v in OF_A_SIGN.items()})
        self.picture = nn.ModuleDict({name: nn.Linear(width, len(v)) for name, v in OF_THE_PICTURE.items()})

    def loss(self, pooled: Tensor, attributes: Sequence[Attributes]) -> Tensor:
        """Cross-entropies summed over patterns, and over what else captions fix; pooled [B, width]."""
        count, places = len(attributes), {pattern: place for place, pattern in enumerate(ALL_PATTERNS)}
        named = torch.zeros(count, len(ALL_PATTERNS))
        targets = {name: torch.full(named.shape, IGNORED) for name in OF_A_SIGN}
        for row, one in enumerate(attributes):
            for sign in one.signs:
                named[row, places[sign.pattern]] = 1
                for name, values in OF_A_SIGN.items():
                    if (value := getattr(sign, name)) is not None:
                        targets[name][row, places[sign.pattern]] = values.index(value)
        total = F.binary_cross_entropy_with_logits(self.patterns(pooled), named, reduction="sum") / count
        for name, values in OF_A_SIGN.items():
            if (targets[name] != IGNORED).any():
                logits = self.signs[name](pooled).view(count, len(ALL_PATTERNS), len(values))
                total = total + F.cross_entropy(logits.transpose(1, 2), targets[name], ignore_index=IGNORED)
        for name, values in OF_THE_PICTURE.items():
            target = torch.tensor([values.index(getattr(one, name)) for one in attributes])
            total = total + F.cross_entropy(self.picture[name](pooled), target)
        return total


def train_text_encoder(
    config: TextConfig,
    tokenizer: CLIPTokenizer,
    encoder: CLIPTextModel,
    head: AttributeHead,
    several: float,
    rng: np.random.Generator,
    report: Callable[[dict[str, float]], None],
) -> None:
    """Teaches the encoder to name what a caption says of a picture: text alone is cheap, and is all that it needs.

    Args:
        several: share of captions that name several patterns.
    """
    parameters = [*encoder.parameters(), *head.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=config.learning_rate, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, config.learning_rate, total_steps=config.steps)
    for _ in range(config.steps):
        texts, attributes = sample_captions(config.batch, several, rng)
        texts = [jumble(text, rng) if rng.random() < config.jumbled else text for text in texts]
        loss = head.loss(encoder(tokens_of(tokenizer, texts)).pooler_output, attributes)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        report({"loss": loss.item()})
