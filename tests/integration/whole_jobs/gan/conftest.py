"""As the GAN's unit tests have them."""

from tests.unit.labs.gan.conftest import job, one_thread, real  # noqa: F401 - fixtures
