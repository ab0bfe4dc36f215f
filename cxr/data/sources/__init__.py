"""Where X-rays come from: every kind is a function from a place to rows. Import from here.

row.py       what a row is; KIND:PLACE
words.py     publishers' words as the catalog has them
files.py     files below a folder, none outside
folder.py    one folder a finding (ImageFolder)
table.py     CSV, TSV, JSONL or Parquet that names files
hub.py       datasets of the Hugging Face hub
openi.py     the Indiana University set (openi_reports.py its reports, archives.py and download.py its archives)
dicom.py     a tree of DICOM files
arrays.py    MedMNIST's npz and MNIST's IDX files
digits.py    scikit-learn's handwritten digits
phantom.py   computer-drawn X-rays
"""

from cxr.data.sources.arrays import idx_rows, npz_rows
from cxr.data.sources.dicom import dicom_rows
from cxr.data.sources.digits import digits_rows
from cxr.data.sources.folder import folder_rows
from cxr.data.sources.hub import hub_rows
from cxr.data.sources.openi import openi_rows
from cxr.data.sources.openi_reports import Report, openi_reports
from cxr.data.sources.phantom import phantom_rows
from cxr.data.sources.row import Source, SourceOptions, SourceRow, names_source, parse_source
from cxr.data.sources.table import table_rows
from cxr.data.sources.words import patient_of_file_name

SOURCES: dict[str, Source] = {
    "hub": hub_rows,
    "openi": openi_rows,
    "folder": folder_rows,
    "table": table_rows,
    "dicom": dicom_rows,
    "npz": npz_rows,
    "idx": idx_rows,
    "digits": digits_rows,
    "phantom": phantom_rows,
}

__all__ = [
    "SOURCES",
    "Report",
    "Source",
    "SourceOptions",
    "SourceRow",
    "names_source",
    "openi_reports",
    "parse_source",
    "patient_of_file_name",
]
