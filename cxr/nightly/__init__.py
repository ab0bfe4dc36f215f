"""One night after another in a store: a set, how good it is, and whether readers should take it.

config.py     which recipes the steps follow; the limits
places.py     what lies where
lease.py      one run at a time
pointer.py    `latest`: the night that readers should take
steps.py      the other jobs, run
gate.py       metrics against limits and against last night's
report.py     what is left of a night: decision, metrics, page
trend.py      all nights in one page
retention.py  old nights, and what none of the others needs, are removed
"""
