"""Shenzhen Hospital X-ray set: 662 images, normal and tuberculosis; masks are published apart."""

from pathlib import Path

from covid.collections.collection import Advance, Collection, Contents
from covid.collections.tuberculosis import read_tuberculosis

EXPECTED = "CXR_png/CHNCXR_0001_0.png and others (or images/), ClinicalReadings/ beside it"


def read_shenzhen(folder: Path, advance: Advance) -> Contents:
    """See `read_tuberculosis`. Masks are of 566 images, `mask/CHNCXR_0001_0_mask.png`."""
    return read_tuberculosis(folder, advance, prefix="CHNCXR", expected=EXPECTED)


SHENZHEN = Collection(
    name="shenzhen",
    title="Shenzhen Hospital chest X-ray set",
    address="https://data.lhncbc.nlm.nih.gov/public/Tuberculosis-Chest-X-ray-Datasets/",
    citation=(
        "S. Jaeger et al.: Automatic Tuberculosis Screening Using Chest Radiographs, IEEE "
        "Transactions on Medical Imaging 33(2), 233-245, 2014; of the masks: S. Stirenko et al.: "
        "Chest X-Ray Analysis of Tuberculosis by Deep Learning with Segmentation and "
        "Augmentation, IEEE ELNANO, 422-428, 2018"
    ),
    terms=(
        "Free for research and teaching. The National Library of Medicine and Shenzhen No. 3 "
        "People's Hospital want to be named, and the paper cited. The masks are CC BY-NC-SA 4.0."
    ),
    expected=EXPECTED,
    read=read_shenzhen,
)
