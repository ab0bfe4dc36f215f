import numpy as np
import pytest

from cxr.pretrain.config import TextConfig
from cxr.pretrain.text import jumble, sample_captions, tokens_of, train_tokenizer

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
