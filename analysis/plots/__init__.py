"""Figures, one file each: a module here offers `draw(summary) -> Drawn | None`, and its name is what `draw:` takes."""
