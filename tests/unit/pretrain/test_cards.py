"""What the cards of the embedded model and extractor say of a made-up measurement."""

import numpy as np

from cxr.jobs.pretrain import model_card
from cxr.pretrain.combinations import Combinations
from cxr.pretrain.config import ExtractorConfig, PretrainConfig
from cxr.pretrain.prompt_accuracy import PromptAccuracy
from cxr.report.pages import render


def test_the_models_card_has_both_measurements_and_what_it_went_on_from():
    asked = np.array([[True, False], [False, True], [True, True], [False, False]])
    found = Combinations(("edema", "nodule"), asked, asked | asked[::-1], asked, asked, (1.0, 0.9))
    accuracy = PromptAccuracy(np.eye(10, dtype=int) * 3 + 1, 0.95)
    card = model_card(PretrainConfig(), "0" * 8, accuracy, found, "abc")
    assert "**30.8%** of 130 pictures" in card and "names 95.0% of fresh" in card and "Digest: `abc`" in card
    assert "**50.0%** of 4 pictures (chance 25.0%" in card and "| edema | 2 of 2 (100%)" in card
    assert "from the weights of digest `00000000` on" in card
    assert "from the weights" not in model_card(PretrainConfig(), None, accuracy, found, "abc")


def test_the_extractors_card_has_both_shares():
    card = render("embedded_extractor.md", config=ExtractorConfig(), shares=(0.944, 0.863), digest="abc")
    assert "**94.4%** of 1,000 fresh phantoms" in card and "86.3% of the same" in card
