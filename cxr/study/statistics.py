"""How sure a metric over seeds is, for the statement "training so, with a new seed, judged by new patients".

A metric varies for two reasons: by the seed that a network is trained with, and by the patients who happen to be in the
test part. The scatter of a few seeds on one test part shows the first and not the second, because all seeds are judged
by the same patients; DeLong's test and a bootstrap over patients show the second and not the first. With values x_s and
the patients' components u_s of S seeds (`cxr.study.influence`),

    Var(mean) = var(x) / S + mean over s != t of sum(u_s u_t).

The first term has seeds and all of a patient's effect that differs from seed to seed; the second is what the patients
do to all seeds alike, so nothing is counted twice. For a difference of two arms x_s and u_s are differences paired by
seed. Components hold for the covariance what DeLong et al. 1988 and, for several pictures of a patient, Obuchowski 1997
use for one classifier.

The mean over its standard error is held against the mean of Student's quantiles of both parts, weighted by their shares
of the variance (Cochran and Cox 1957, Experimental Designs). By integration over normal effects a test at 5 % errs in
2.9 to 5 % of studies with 3 seeds, whatever the shares, and one at 0.5 %, as Holm's correction asks for, in 0.1 to 0.7
%: so at most 7 % of studies are wrong about one of ten arms. One quantile with the degrees of freedom of Satterthwaite
1946 (Biometrics Bulletin 2, 110) errs in up to 7.8 %, and about one of ten arms in up to 19 %: a scatter that is small
by chance also takes itself for unimportant. Measured on 1,000 simulated studies each
(`tests/unit/study/test_null_studies.py`): 3.9 to 5.4 % where arms do the same to a network, 1 to 5 % where they differ
and are equally good. Welch's test alone erred in up to 29 %, DeLong's in up to 73 %.

Where patients are few or nearly all are named right, those at hand may differ in nothing, and the variance that they
show is none. What they have not shown counts then: in an arm's own interval by Clopper and Pearson's on as many
patients as the metric is worth (`cxr.report.proportions`), in a difference by a variance that fades as more patients
carry what is seen (`unseen_variance`). Simulated (`tests/unit/study/test_coverage.py`: AUROC 0.80 to 0.995, 12 to
400 patients, 1 to 4 pictures of each, 1 to 5 seeds), the intervals of an AUROC and of a difference hold the truth in
93 % of studies or more, less two standard errors; without, in as little as 8 %. At an AUROC of 0.8 on 400 patients an
interval is 2.7 % wider.

Where several trainings of a generator made the synthetic pictures, each with seeds of its own, a mean over generators
is what is replicated: x_s and u_s are then means over the seeds of each generator, and S counts generators
(`by_generator`). The first term so has all of generators, seeds and patients that differs from generator to generator.
Simulated (`tests/unit/study/test_generator_effect.py`), 95 % intervals then hold the truth; with seeds of one generator
taken for independent they do not.

The training pictures are the same for all seeds: no interval says how another training set would do (for that, see
Nadeau and Bengio 2003, Machine Learning 52, 239).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import optimize, special, stats

from cxr.report.proportions import clopper_pearson, count_carriers, effective_patients

LEVEL, POWER = 0.05, 0.8
LEAST = 1e-15  # p that is told from 0
ROUNDING = 1e-12  # of a metric between 0 and 1


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds with its standard error, over seeds and patients."""

    mean: float
    sd: float | None  # between seeds
    error: float
    share: float  # of the error's variance that is the seeds'; the rest is the patients'
    degrees: tuple[float, float]  # of freedom, of both parts
    known: float = 0.0  # how many patients carry their part

    def critical(self, level: float) -> float:
        """How many errors from 0 a mean is on either side in a share `level` of studies."""
        seeds, patients = stats.t.isf(level / 2, self.degrees)
        return float(self.share * seeds + (1 - self.share) * patients)

    def interval(self) -> tuple[float, float]:
        """Of 95 %."""
        half = self.critical(LEVEL) * self.error
        return self.mean - half, self.mean + half

    def interval_within_unit(self, patients: float = 0.0) -> tuple[float, float] | None:
        """Of 95 %, for a metric between 0 and 1; None where nothing is known of how it varies.

        The wider of two on either side: symmetric in the metric's logit (as Qin and Hotilovac 2008, Stat. Methods Med.
        Res. 17, 207, for the AUROC), and, for what few patients or none have shown, that of Clopper and Pearson on
        patients.

        Args:
            patients: independent ones that the metric counts as where they do not differ; 0: it is no share of them.
        """
        found = []
        if self.error and 0 < self.mean < 1:
            half = self.critical(LEVEL) * self.error / (self.mean * (1 - self.mean))
            found.append(special.expit(special.logit(self.mean) + np.array([-half, half])).tolist())
        if patients:
            variance = self.error**2 * (1 - self.share)
            found.append(clopper_pearson(self.mean, effective_patients(self.mean, variance, self.known, patients)))
        return (min(low for low, _ in found), max(high for _, high in found)) if found else None

    def p(self) -> float:
        """Two-sided, that the true mean is 0; 0 where it is below `LEAST`, 1 where nothing varies."""
        if not self.error:
            return 1.0
        away = abs(self.mean) / self.error
        if away >= self.critical(LEAST):
            return 0.0
        return float(np.exp(optimize.brentq(lambda power: self.critical(np.exp(power)) - away, np.log(LEAST), 0.0)))

    def p_within(self, margin: float) -> float:
        """That the true mean is this far from 0 or further: the larger p of two one-sided tests, below -margin and
        above it (TOST: Schuirmann 1987, J. Pharmacokinet. Biopharm. 15, 657); 1 where nothing varies."""
        room = margin - abs(self.mean)
        if not self.error or room <= 0:
            return 1.0
        return replace(self, mean=room).p() / 2

    def detectable(self, level: float) -> float | None:
        """The smallest true mean that is found at a level, two-sided, with 80 % power; at 0.5 %, as for one of ten
        arms, it is 76 to 80 % with three seeds and 73 % with two. None where nothing varies."""
        if not self.error:
            return None
        far = self.error * (2 * self.critical(level) + 10)
        return float(optimize.brentq(lambda true: self.power(true, level) - POWER, 0.5 * self.error, far))

    def power(self, true: float, level: float) -> float:
        """The share of studies that find this true mean, above 0, at a level, two-sided; 0 where nothing varies."""
        if not self.error:
            return 0.0
        degrees = 1 / np.dot((self.share, 1 - self.share), 1 / np.array(self.degrees))
        # the other tail adds nothing at such power, and scipy's is NaN there
        return float(stats.nct.sf(self.critical(level), degrees, true / self.error))


def estimate(values: np.ndarray, components: np.ndarray, unseen: float = 0.0) -> Estimate:
    """From values [S] of the seeds and components [S, P] of the patients. With one seed it is of the patients alone.

    Args:
        unseen: the variance that patients bring in where those at hand do not show it. It counts 1 / (1 + k^2), k of
            them carrying what they show; simulated, that is enough from 12 patients on, and little from 10 carriers on.
    """
    seeds, products = len(values), components @ components.T
    if seeds == 1:
        sd, scatter, shared = None, 0.0, float(products[0, 0])
    else:
        sd = float(values.std(ddof=1))
        scatter = sd**2 / seeds
        shared = max(0.0, float(products.sum() - products.trace()) / (seeds * (seeds - 1)))
    together = components.mean(axis=0)
    known = count_carriers(together)
    shared += (unseen - shared) / (1 + known**2) if unseen > shared else 0.0
    variance = scatter + shared
    share = scatter / variance if variance else 1.0
    degrees = max(1, seeds - 1), _degrees(together)
    return Estimate(float(values.mean()), sd, float(np.sqrt(variance)), share, degrees, known)


def by_generator(
    values: np.ndarray, components: np.ndarray, generators: Sequence[int]
) -> tuple[np.ndarray, np.ndarray]:
    """Means over the seeds of each generator, [G] and [G, P], of values [S] and components [S, P].

    Args:
        generators: [S], the number of each seed's.
    """
    own = [np.flatnonzero(np.array(generators) == number) for number in sorted(set(generators))]
    return np.array([values[rows].mean() for rows in own]), np.stack([components[rows].mean(axis=0) for rows in own])


def unseen_variance(share: float, patients: float) -> float:
    """The variance of a share of so many independent patients, two who differ and two who do not added to them (Agresti
    and Coull 1998, Am. Stat. 52, 119), so that it is none of 0 where nobody differs; 0 without patients."""
    if not patients:
        return 0.0
    middle = (share * patients + 2) / (patients + 4)
    return middle * (1 - middle) / (patients + 4)


def welch(first: np.ndarray, second: np.ndarray) -> float | None:
    """p of Welch's t-test over the seeds of two arms, blind to the test patients; None where no seeds scatter."""
    if min(len(first), len(second)) < 2 or max(np.ptp(first), np.ptp(second)) < ROUNDING:
        return None
    sides = [(one.mean(), one.std(ddof=1), len(one)) for one in (first, second)]
    return float(stats.ttest_ind_from_stats(*sides[0], *sides[1], equal_var=False).pvalue)


def delong(values: np.ndarray, components: np.ndarray) -> float | None:
    """p of DeLong's test for a mean over seeds of AUROC differences [S], [S, P]: of these very networks, blind to what
    another seed would do. None where no patient differs."""
    error = float(np.linalg.norm(components.mean(axis=0)))
    return float(2 * stats.norm.sf(abs(values.mean()) / error)) if error else None


def holm(p: Sequence[float]) -> list[float]:
    """Corrected for how many they are (Holm 1979, Scand. J. Statist. 6, 65)."""
    order = np.argsort(p)
    steps = np.maximum.accumulate(np.asarray(p)[order] * np.arange(len(p), 0, -1))
    return np.minimum(1.0, steps)[np.argsort(order)].tolist()


def _degrees(components: np.ndarray) -> float:
    """Of a variance sum(u^2) of [P] patients: 2 E(V)^2 / Var(V), fewer where few patients carry it."""
    square, fourth, patients = np.square(components).sum(), np.power(components, 4).sum(), len(components)
    spread = fourth - square**2 / patients
    most = max(1.0, patients - 1.0)
    return min(most, float(2 * square**2 / spread)) if spread > 0 else most
