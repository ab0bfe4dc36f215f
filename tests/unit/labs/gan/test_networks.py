"""The networks' shapes, and pictures that depend on their own seed and class only."""

import numpy as np
import pytest
import torch

from cxr.labs.gan.networks import Discriminator, Generator, LeNet5, one_hot, sample


@pytest.mark.parametrize("classes", [0, 3])
def test_shapes(classes: int) -> None:
    generator, discriminator = Generator(5, 4, classes), Discriminator(4, classes)
    asked = one_hot(np.array([0, 2]), classes)
    pictures = generator(torch.randn(2, 5), asked)
    assert pictures.shape == (2, 1, 28, 28) and pictures.abs().max() <= 1
    assert discriminator(pictures, asked).shape == (2,)
    assert LeNet5(7)(pictures).shape == (2, 7)


def test_a_picture_depends_on_its_own_seed_alone() -> None:
    generator = Generator(5, 4, 0)
    torch.nn.init.normal_(generator.layers[-2].weight)
    whole = sample(generator, range(7), np.zeros(7, int), 0)
    assert whole.shape == (7, 28, 28) and whole.dtype == np.uint8 and generator.training
    alone = sample(generator, [3], np.zeros(1, int), 0)
    np.testing.assert_allclose(alone[0].astype(int), whole[3].astype(int), atol=1)
    assert (whole[3] != whole[4]).any()


def test_a_conditional_generator_sees_the_class_and_another_does_not() -> None:
    labels = np.array([0]), np.array([1])
    for classes, differ in ((2, True), (0, False)):
        generator = Generator(5, 4, classes)
        torch.nn.init.normal_(generator.layers[0].weight)
        first, second = (sample(generator, [3], label, classes) for label in labels)
        assert (first != second).any() == differ
