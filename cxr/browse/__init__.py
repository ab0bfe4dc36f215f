"""One static page over any artifacts: galleries of sets, what was found in words, and what was made from what.

given.py     from places to finished artifacts
privacy.py   what of them is of patients, so that the page says so at its top
lineage.py   what was made from what, and its drawing
words.py     a record in words
judged.py    of synthetic pictures: quarantined or not, and the nearest training picture
gallery.py   what a page knows of each picture of a set
sheets.py    thumbnails in sheets, and the pictures themselves
page.py      the page
job.py       all of it as an artifact
"""
