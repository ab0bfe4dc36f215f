import numpy as np
import pytest
import torch

from cxr.pretrain.config import TextConfig
from cxr.pretrain.text import ALL_PATTERNS, AttributeHead, jumble, sample_captions, tokens_of, train_tokenizer
from cxr.prompts.findings import SIDES, Attributes, Sign

CONFIG = TextConfig(vocabulary=900)


@pytest.fixture(scope="module")
def tokenizer():
    return train_tokenizer(CONFIG, sample_captions(300, 0.5, np.random.default_rng(0))[0])


@pytest.mark.parametrize("text", ["Severe left pleural effusion, AP view.", "unseen words: Ödem, 氣胸", ""])
def test_any_text_comes_back_from_its_tokens(tokenizer, text: str):
    ids = tokenizer(text).input_ids
    assert tokenizer.decode(ids, skip_special_tokens=True).replace(" ", "") == text.lower().replace(" ", "")


def test_tokens_are_padded_and_cut_to_the_encoders_length(tokenizer):
    assert tokens_of(tokenizer, ["short", "very long " * 100]).shape == (2, CONFIG.length)


def test_jumbled_words_are_the_captions_own_but_for_unknown_ones():
    text = "Severe left pleural effusion in an old man. AP view, portable."
    rng = np.random.default_rng(0)
    jumbled = [jumble(text, rng) for _ in range(50)]
    assert len(set(jumbled)) == 50
    kept = [len(set(j.split()) & set(text.split())) / len(set(text.split())) for j in jumbled]
    assert 0.8 < np.mean(kept) < 0.97


def test_the_share_of_captions_that_name_several_patterns_is_the_one_given():
    counts = [len(one.signs) for one in sample_captions(400, 0.4, np.random.default_rng(0))[1]]
    assert np.mean(np.array(counts) > 1) == pytest.approx(0.4, abs=0.07)
    assert {len(one.signs) for one in sample_captions(50, 0, np.random.default_rng(0))[1]} == {1}


def test_states_learn_every_pattern_of_a_caption_each_with_its_own_severity_side_and_zone():
    signs = Sign("effusion", "effusion", "severe", "left"), Sign("nodule", "nodule", None, "right", "upper")
    shown = [Attributes(signs, "PA", "F", 50), Attributes(signs[:1], "AP", "M", 50), Attributes((), "AP", "M", 50)]
    torch.manual_seed(0)
    head, states = AttributeHead(32), torch.zeros(3, 32, requires_grad=True)
    optimizer = torch.optim.Adam([states, *head.parameters()], lr=0.05)
    for _ in range(60):
        optimizer.zero_grad()
        head.loss(states, shown).backward()
        optimizer.step()
    effusion, nodule = (ALL_PATTERNS.index(sign.pattern) for sign in signs)
    named = (head.patterns(states) > 0).nonzero().tolist()
    assert named == sorted([[0, effusion], [0, nodule], [1, effusion]])
    sides = head.signs["side"](states).view(3, len(ALL_PATTERNS), 3).argmax(dim=2)
    assert [sides[0, effusion], sides[0, nodule]] == [SIDES.index("left"), SIDES.index("right")]
