"""What uncertain and missing labels count as: one table for training and for evaluation."""

from __future__ import annotations

import math

# A label's value where nobody has looked for it: a film without findings or a report, a data set of a pool that does
# not know the label. Under no policy is it negative; where a report does not mention a label, its value is NaN.
UNKNOWN = -2.0

# policy -> (value of uncertain, value of missing); NaN = left out. "zeros" is the code of arXiv 2507.02987,
# "ones" is U-Ones of Irvin et al. 2019, in which a label that is not mentioned stays negative.
LABEL_POLICIES: dict[str, tuple[float, float]] = {
    "zeros": (0.0, 0.0),
    "ones": (1.0, 0.0),
    "ignore": (math.nan, math.nan),
}
