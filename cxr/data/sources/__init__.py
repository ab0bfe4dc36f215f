"""Where X-rays come from: every kind is a function from a place to rows. Import from here.

registry.py  the kinds, each with its function; KIND:PLACE
row.py       what a row is
vocabulary.py  publishers' words as the catalog has them
files.py     files below a folder, none outside
folder.py    one folder a finding (ImageFolder)
table.py     CSV, TSV, JSONL or Parquet that names files
hub.py       datasets of the Hugging Face hub
openi.py     the Indiana University set (openi_reports.py its reports, archives.py and download.py its archives)
published.py  public sets as downloaded, each described in layouts.py
chosen_findings.py  the findings that a user picks and merges
label_cells.py  cells that say which findings a picture has
dicom.py     a tree of DICOM files
arrays.py    MedMNIST's npz and MNIST's IDX files
digits.py    scikit-learn's handwritten digits
phantom.py   computer-drawn X-rays
"""

from cxr.data.sources.chosen_findings import choose_findings
from cxr.data.sources.openi_reports import Report, openi_reports
from cxr.data.sources.registry import SOURCES, is_source_name, parse_source
from cxr.data.sources.row import Source, SourceOptions, SourceRow
from cxr.data.sources.vocabulary import parse_patient
