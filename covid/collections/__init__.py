"""Public collections of chest X-rays, from the files as they are downloaded to a manifest."""

from covid.collections.chexpert import CHEXPERT
from covid.collections.cohen import COHEN
from covid.collections.collection import Collection
from covid.collections.covid_radiography import COVID_RADIOGRAPHY
from covid.collections.dicom import DICOM
from covid.collections.kermany import KERMANY
from covid.collections.nih14 import NIH14
from covid.collections.rsna import RSNA

COLLECTIONS: dict[str, Collection] = {
    collection.name: collection
    for collection in (
        CHEXPERT,
        COHEN,
        COVID_RADIOGRAPHY,
        DICOM,
        KERMANY,
        NIH14,
        RSNA,
    )
}
