"""Protect the patients behind a set or a model of version 0.1, before it is shared: `cxr protect URI`.

Its record names them by hashes without a key, which anybody can turn back into ids. They are replaced in place;
pictures and weights stay. Exit code 0: its record holds no such hash. 2: bad input.
"""

from dataclasses import dataclass

from tyro.conf import Positional

from cxr import cli
from cxr.store import open_store


@dataclass(frozen=True)
class Args:
    uri: Positional[str]
    """Local folder or s3://bucket/prefix of a finished set, GAN or fine-tuned model."""


def main(args: Args) -> int:
    """Replace hashes of patients' ids in an old record by a digest under the owner's key."""
    store = open_store(args.uri)
    store.check()
    from cxr.data.protect import protect_artifact

    if count := protect_artifact(store):
        print(
            f"{store.uri}: {count} patients' hashes are out of its record; what was copied of it before still has them"
        )
    else:
        print(f"{store.uri}: its record names no patient")
    return cli.DONE
