"""What may leave this machine as text."""

import pytest

from cxr.artifact.public_text import names_place


@pytest.mark.parametrize(
    "text",
    [
        "/home/a/b", "see /data", "in ~/x", "~me/x", "C:\\Users\\x", "D:/x", "\\\\host\\share", "file:///x", "s3://b/x",
        "model='/mnt/x'", "../up", "./here", "(/tmp/x)", "https://me:secret@host/x",
    ],
)  # fmt: skip
def test_what_names_a_place(text):
    assert names_place(text)


@pytest.mark.parametrize("text", ["AP/PA view", "and/or", "https://physionet.org/x", "owner/name@abc", "1/2", "", None])
def test_what_names_no_place(text):
    assert not names_place(text)
