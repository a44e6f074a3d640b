"""Montgomery County X-ray set: 138 images, normal and tuberculosis, with masks of each lung."""

from dataclasses import replace
from pathlib import Path

from covid.collections.collection import Advance, Collection, Contents
from covid.collections.tuberculosis import ONE_LUNG_FOLDERS, read_tuberculosis

EXPECTED = "CXR_png/MCUCXR_0001_0.png and others (or images/), ClinicalReadings/ beside it"
# Its readings say "same pt as" of 0117 and 0166; that of 0170 speaks of views one and two months
# before, and is of the same sex and age as 0162 and 0166.
SAME_PATIENT = {"0117": "0113", "0166": "0162", "0170": "0162"}


def read_montgomery(folder: Path, advance: Advance) -> Contents:
    """See `read_tuberculosis`. ManualMask/ has a picture for each lung, which is not one mask."""
    contents = read_tuberculosis(
        folder, advance, prefix="MCUCXR", expected=EXPECTED, same_patient=SAME_PATIENT
    )
    one_lung = [p for p in folder.rglob("*") if p.is_dir() and p.name.lower() in ONE_LUNG_FOLDERS]
    if not one_lung or all(row.mask for row in contents.rows):
        return contents
    note = (
        "ManualMask/ has two masks an image and a manifest takes one: to use them, save each pair "
        "as one picture, white where either is, as masks/MCUCXR_0001_0.png and so on."
    )
    return replace(contents, notes=[*contents.notes, note])


MONTGOMERY = Collection(
    name="montgomery",
    title="Montgomery County chest X-ray set",
    address="https://data.lhncbc.nlm.nih.gov/public/Tuberculosis-Chest-X-ray-Datasets/",
    citation=(
        "S. Jaeger et al.: Automatic Tuberculosis Screening Using Chest Radiographs, IEEE "
        "Transactions on Medical Imaging 33(2), 233-245, 2014; S. Candemir et al.: Lung "
        "Segmentation in Chest Radiographs Using Anatomical Atlases With Nonrigid Registration, "
        "IEEE Transactions on Medical Imaging 33(2), 577-590, 2014"
    ),
    terms=(
        "Free for research and teaching. The National Library of Medicine and the Department of "
        "Health and Human Services of Montgomery County, Maryland, want to be named, and both "
        "papers cited."
    ),
    expected=EXPECTED,
    read=read_montgomery,
)
