"""Names of objects inside an artifact that more than one room writes or reads."""

RECORD_KEY = "record.json"  # written last: its presence means complete
PLAN_KEY = "plan.parquet"  # written first: by it a restart knows the place as its own
CATALOG_KEY = "catalog.parquet"  # of a set of images, a row an image
CANDIDATES_KEY = "candidates.parquet"  # of a filtered set: a row for each picture made, accepted or refused
METADATA_KEY = "images/metadata.jsonl"  # of a set that has a file an image: a line each, for `datasets`' image folders
QUALITY_KEY = "quality.json"  # of an evaluation
COPIES_KEY = "copies.parquet"  # of an evaluation: the nearest training picture of each synthetic one
PICTURES_KEY = "pictures.parquet"  # of an audit: the same by each of its detectors
TAKEN_OUT_KEY = "quarantined.jsonl"  # of a set without copies: the pictures that were taken out
HISTORY_KEY = "history.jsonl"  # of a training
CARD_KEY, SHEET_KEY, PAGE_KEY = "README.md", "contact_sheet.png", "index.html"

IMAGES = "images/"
REFUSED = "refused/"  # of a filtered set: pictures that are not in it
COMMITS = "commits/"  # of an artifact in the making: what is done already, an object a unit
CHECKPOINTS = "checkpoints/"  # of a training
