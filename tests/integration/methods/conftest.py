"""Methods on real networks, phantoms and whole plots: slower than a unit test may be, without Ray."""

from tests.unit.evaluate.conftest import features_of, grid_extractor, made_pictures  # noqa: F401 - fixtures
from tests.unit.report.conftest import binary, drawn, odd, ten  # noqa: F401 - fixtures
