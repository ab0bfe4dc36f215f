"""What the search for near-duplicates looks for and what it does not: the same words on every page, card and file."""

SEARCH = "near-duplicates of training pictures"
LOOKED_FOR = (
    f"Looked for were {SEARCH}, by correlation of aligned details: whole pictures, moved by up to 6 % of the side, "
    "about 5 % larger or smaller, mirrored, or with other contrast, a little blur, noise or JPEG."
)
NOT_LOOKED_FOR = (
    "Nothing else was: no crops, no pictures turned by more than 2 degrees, no half copies, none that are inverted, "
    "pasted into another or blended with one. Nor was anything that a model keeps of its training without repeating a "
    "picture, membership in its training, or whether a patient can be recognised: a model that plainly memorised its "
    "few patients had 0 of 96 pictures flagged. That nothing is flagged does not make a set anonymous. This is a quick "
    "screen: jobs/audit.py adds a second detector, which finds most of these, and attacks the set and its model."
)
NOT_TOLD = "Whether the set repeats training pictures is not known."
LIMITS = f"{LOOKED_FOR} {NOT_LOOKED_FOR}"
AUDIT_LIMITS = (
    f"Looked for were {SEARCH}, by correlation of aligned details and by key points with a fitted movement: whole "
    "pictures, and crops, halves, turned, mirrored, inverted and pasted ones. Neither finds all of them: small pasted "
    "pieces and even blends are missed. That the flagged pictures are taken out does not undo what the "
    "model has learned of its patients, and does not make a set anonymous."
)
UNAUDITED = "unaudited"  # where there is no room for the sentence below
KINDS = {"images without copies": "images less flagged near-duplicates"}  # as records of version 0.1 call them


def unaudited(what: str) -> str:
    """What a page or card says of a set whose audit it does not have."""
    return (
        f"Unaudited: nothing here tests by attack what {what} gives away of the patients whom its generator learned "
        "from; jobs/audit.py does."
    )


def kind(name: str) -> str:
    """What a reader sees of the kind of an artifact."""
    return KINDS.get(name, name)
