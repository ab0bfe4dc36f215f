"""A GAN's forecast is of all its steps, and stores nothing."""

from cxr.labs.gan.forecast import count_steps, forecast, time_lenet


def test_what_it_would_make_is_told_in_steps_and_pictures(job, tmp_path) -> None:
    begun = job(epochs=3)
    before = set(tmp_path.rglob("*"))
    told = forecast(begun).text("there")
    assert "reads: 80 real pictures, of which 48 are trained on (lying 24, standing 24)" in told
    assert "18 steps of 8 pictures in 3 epochs" in told and "and 12 pictures" in told
    assert "\ntime: " in told and set(tmp_path.rglob("*")) == before


def test_steps_fill_whole_batches_and_few_pictures_are_timed_too(job, real) -> None:
    assert count_steps(job(batch_size=20).config, real) == 4 * 2
    assert time_lenet(real, job("other", lenet_batch_size=4096).config) > 0
