"""Claim: each of three findings is seen in at least 80 % of the pictures that it is asked for, beside whichever others,
and in at most 15 % of those that it is not asked for.

The model is asked for all combinations in sentences that no training caption has; a classifier of phantoms with several
findings says which it sees. `--findings` takes other patterns.
"""

import argparse
from pathlib import Path

from _side_by_side import verdict

from cxr.jobs.pretrain import measure_several
from cxr.pretrain.combinations import combinations_table
from cxr.prompts.findings import SEVERAL
from cxr.weights import resolve

MIN_ASKED, MAX_OTHERS = 0.8, 0.15


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, default=resolve("tiny").path)
    parser.add_argument("--findings", default="+".join(SEVERAL))
    parser.add_argument("--per-combination", type=int, default=50)
    args = parser.parse_args()
    findings = tuple(args.findings.split("+"))
    found = measure_several(args.model, findings, args.per_combination, seed=0)
    print(combinations_table(found))
    print(f"all as asked: {found.all_right:.1%} of {len(found.asked)} pictures, by chance {0.5 ** len(findings):.1%}")
    shares = {asked: [found.share(name, asked) for name in findings] for asked in (True, False)}
    lowest, highest = min(shares[True]), max(shares[False])
    verdict(
        lowest >= MIN_ASKED and highest <= MAX_OTHERS,
        f"asked findings are seen in at least {lowest:.1%} of the pictures, others in at most {highest:.1%}",
    )


if __name__ == "__main__":
    main()
