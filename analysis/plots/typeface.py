"""The figures' typeface: DejaVu Sans, cut down to the letters that figures are likely to use.

A PDF holds the letters that it shows. To cut them out of six thousand takes longer than to draw most figures, out of
a few hundred hardly any time. What else a label may hold is taken from the whole typeface.
"""

from __future__ import annotations

import functools
from pathlib import Path

from core.io import atomic_path, canonical_hash, sha256_file

WHOLE, FAMILY = "DejaVu Sans", "viewpair Sans"
# Latin, Greek, punctuation, super- and subscripts, arrows, mathematical operators, geometric shapes.
KEPT = (
    (0x20, 0x17F),
    (0x370, 0x3FF),
    (0x2010, 0x2044),
    (0x2070, 0x209C),
    (0x2190, 0x2193),
    (0x2200, 0x226F),
    (0x25A0, 0x25CF),
)
# Of a font's names: family, whole name, name in PostScript, family in print (OpenType, name table).
NAMES = (1, 4, 6, 16)


@functools.cache
def families() -> list[str]:
    """Families for matplotlib's `font.family`, the cut one first; it is cut once and kept in matplotlib's cache."""
    import fontTools
    import matplotlib
    from matplotlib import font_manager

    # By all that it hangs on, so that an older one is never taken for it.
    kind = canonical_hash([matplotlib.__version__, fontTools.version, sha256_file(Path(__file__))])
    path = Path(matplotlib.get_cachedir()) / f"viewpair-sans-{kind}.ttf"
    if not path.exists():
        with atomic_path(path) as temporary:
            _cut(font_manager.findfont(WHOLE), temporary)
    font_manager.fontManager.addfont(path)
    return [FAMILY, WHOLE]


def _cut(source: str, target: Path) -> None:
    from fontTools import subset

    options = subset.Options(layout_features=["*"], name_IDs=["*"], glyph_names=True)
    # FontForge's times of saving.
    options.drop_tables += ["FFTM"]
    font = subset.load_font(source, options)
    cutter = subset.Subsetter(options)
    cutter.populate(unicodes=[code for first, last in KEPT for code in range(first, last + 1)])
    cutter.subset(font)
    for record in font["name"].names:
        if record.nameID in NAMES:
            record.string = FAMILY.replace(" ", "") if record.nameID == 6 else FAMILY
    subset.save_font(font, str(target), options)
