"""Public collections of chest X-rays, from the files as they are downloaded to a manifest."""

from covid.collections.chexpert import CHEXPERT
from covid.collections.cohen import COHEN
from covid.collections.collection import Collection
from covid.collections.covid_radiography import COVID_RADIOGRAPHY
from covid.collections.covidx import COVIDX
from covid.collections.dicom import DICOM
from covid.collections.kermany import KERMANY
from covid.collections.montgomery import MONTGOMERY
from covid.collections.nih14 import NIH14
from covid.collections.padchest import PADCHEST
from covid.collections.rsna import RSNA
from covid.collections.shenzhen import SHENZHEN
from covid.collections.vindr import VINDR

COLLECTIONS: dict[str, Collection] = {
    collection.name: collection
    for collection in (
        CHEXPERT,
        COHEN,
        COVID_RADIOGRAPHY,
        COVIDX,
        DICOM,
        KERMANY,
        MONTGOMERY,
        NIH14,
        PADCHEST,
        RSNA,
        SHENZHEN,
        VINDR,
    )
}
