"""Where artifacts live: a local folder or S3 behind one small interface. Import from here.

base.py      the interface, keys, digests
local.py     the local folder
s3.py        S3 (s3_client.py connects, s3_errors.py explains errors, capabilities.py has what an endpoint cannot)
ranges.py    an object of S3 as a file
location.py  from a URI to a store
files.py     local files as objects
"""

from cxr.store.base import ListedObject, Store, StoredObject, check_key, digest_lines, digest_of, sha256
from cxr.store.files import get_pieces, json_lines, parquet, put_file, put_folder, put_pieces, read_parquet
from cxr.store.location import open_store
