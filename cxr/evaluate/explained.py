"""What an evaluation's page says of each table."""

FIDELITY = (
    "Each metric with its 95 % interval, from random halves of both sets. The Fréchet distance is given as the field "
    "reports it, which few pictures make larger; corrected, with its interval, it is for infinitely many. Precision "
    "and density: synthetic pictures lie where real ones do. Recall and coverage: they lie wherever real ones do."
)
EQUAL_SIZE = (
    "Synthetic against a half of the real set, and in brackets the other half of the real set in its place, which is "
    "what a perfect generator would get: only this compares sets of the same size."
)
LIKENESS = "Mean MS-SSIM of pairs of pictures of a finding; higher is less diverse, so compare it with the real set's."
AUROCS = (
    "A classifier is trained on the real train part and chosen on the validation part. AUROC: how well it tells "
    "pictures that were asked to show the finding from those that were asked not to, 0.5 by chance; of real test "
    "pictures, those that show it from those that do not, which is what it can do at best. Then in how many of either "
    "it sees the finding: above a threshold that the validation part chooses, or as the most probable one where "
    "findings exclude each other. The worst finding first, with 95 % intervals, of real pictures over patients."
)
ATTRIBUTES = (
    "The same of what else was asked for: whether the picture has this view, is of a man, or of somebody older than "
    "half of the training patients. A classifier of the real set's pictures says so."
)
PROMPT_ACCURACY = (
    "Rows: what was asked; columns: what a classifier sees that was trained on the real train part and chosen on "
    "the validation part; it knows every finding of the real set."
)
ON_REAL = "The same classifier on the real test part (rows: what is true): what it can do at best."
SIDES = (
    "The same synthetic pictures against training pictures and against as many held-out ones of the same findings. "
    "What has not memorised is as far from both. The last column is how much two parts of the real set differ, drawn "
    "at random with no patient in both (98 % of them): a gap above it, which 1 % of sets come to by chance, is a "
    "sign of memorisation, also where no near-duplicate is flagged."
)
COPYING = (
    "A picture is flagged where its details correlate with those of a training picture by more than those of 99 % of "
    "training pictures do with one of another patient, after alignment and also mirrored. So about 1 % of pictures "
    "that are no copies are flagged as well. How many of this set can be by chance takes into account that the "
    "threshold comes from a sample: on 95 % of thresholds at most 2.5 % of innocent sets have more; on the others it "
    "can be every set that meets it, such as all nights on the same training pictures."
)
