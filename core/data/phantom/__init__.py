"""The phantom: made patients whose 3-D chests are filmed from the front and the side.

It is a test bed for methods and for plumbing: real DICOM, real tables, two views of one object, findings that one view
shows and the other hides. It is no clinical evidence, and a method that does well on it has proved nothing about
patients. Its parameters are chosen for anatomical plausibility; none is tuned so that one method wins.

The way of a film: `plan` (who, when, what) -> `body`, `organs`, `skeleton`, `vessels` (the chest) -> `findings`,
`devices` (disease in 3-D) -> `projection` on `rays` and `geometry` (exact line integrals) -> `film`, `render` (quanta,
scatter, the site's display, masks) -> `dicom_writer`, `patient`, `tables`, `generate` (files).
"""
