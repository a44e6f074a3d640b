"""What DICOM headers say that one should know of a set of images, counted over the set.

Only the attributes that are named here are read, none of them a person's.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from covid.edge.dicom import ENDINGS, is_dicom, pydicom_at_hand
from covid.edge.dicom_greys import first_table, first_window, numbers
from covid.edge.images import DECODING_ERRORS, image_endings
from covid.errors import ImageError

FOR_PROCESSING = "1.2.840.10008.5.1.4.1.1.1.1.1"  # Digital X-Ray Image Storage - For Processing
SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"  # its multi-frame kinds begin with it too
# PS3.3 C.8.1.1.3 and what is met beside its terms. The decubitus views LLD and RLD are frontal.
LATERAL_VIEWS = {"LL", "RL", "LATERAL", "LAT", "LEFT LATERAL", "RIGHT LATERAL", "L LAT", "R LAT"}
OVERLAYS = tuple(0x60000010 + (group << 16) for group in range(0, 0x20, 2))  # rows of each
TRAIT_ATTRIBUTES: tuple[str | int, ...] = (
    "SOPClassUID", "ConversionType", "PresentationIntentType", "BurnedInAnnotation",
    "NumberOfFrames", "PhotometricInterpretation", "BitsStored", "PixelRepresentation",
    "WindowCenter", "WindowWidth", "VOILUTFunction", "VOILUTSequence",
    "ViewPosition", "PatientOrientation", "Rows", *OVERLAYS,
)  # fmt: skip


@dataclass(frozen=True)
class Traits:
    """What one file's header says of its image."""

    for_processing: bool  # raw detector values, not made to be looked at
    secondary_capture: bool  # a screen, a scanned film, or converted from another format
    overlay: bool  # drawings beside the pixels, which are left out
    burned_in: bool  # writing in the pixels
    frames: bool  # several, of which the first is read
    windows: bool  # several windows or VOI LUTs, of which the first is used
    no_window: bool  # more than 8 grey bits, and nothing says which are to be shown
    lateral: bool


# Trait -> how a sentence goes on after "… DICOM images".
SENTENCES: Mapping[str, str] = {
    "for_processing": "are marked FOR PROCESSING: raw values of the detector, which look otherwise "
    "than what radiologists see; use the images FOR PRESENTATION where there are any.",
    "secondary_capture": "are secondary captures: of a screen, a film or another format, with "
    "greys and borders of their own.",
    "overlay": "have overlays, which are left out.",
    "burned_in": "are said to have writing burned into the pixels (BurnedInAnnotation), which may "
    "name the patient, and which a network can read.",
    "frames": "have several frames, of which the first is read.",
    "windows": "name several windows or VOI LUTs, of which the first is used.",
    "no_window": "name no window that can be used, so that their own pixels decide what is black "
    "and what is white.",
    "lateral": "are lateral views by ViewPosition or PatientOrientation; a network that learnt "
    "from frontal ones says nothing of them.",
}


def read_attributes(path: Path, names: Iterable[str | int]) -> Any | None:
    """A pydicom dataset of these attributes, by name or tag; None where it is no DICOM file.

    An attribute whose value makes no sense is left out, as if it were not there. Raises
    ImageError where pydicom is missing, or the file cannot be read or is damaged.
    """
    try:
        with path.open("rb") as file:
            if not is_dicom(file):
                return None
            with pydicom_at_hand(path):
                return _attributes(path, file, names)
    except ImageError:
        raise
    except DECODING_ERRORS as error:
        reason = str(error).strip(" .")[:200] or type(error).__name__
        raise ImageError(f"{path}: its header cannot be read ({reason}).") from error


def traits_of(header: Any) -> Traits:
    """What TRAIT_ATTRIBUTES, read by `read_attributes`, say of an image."""
    kind = _text(header, "SOPClassUID")
    intent, conversion = _text(header, "PresentationIntentType"), _text(header, "ConversionType")
    alternatives = (numbers(header, "WindowCenter"), header.get("VOILUTSequence") or ())
    bits = (numbers(header, "BitsStored") or [0])[0]
    grey = _text(header, "PhotometricInterpretation").startswith("MONOCHROME")
    return Traits(
        for_processing=kind == FOR_PROCESSING or intent == "FOR PROCESSING",
        secondary_capture=kind.startswith(SECONDARY_CAPTURE) or bool(conversion),
        overlay=any(tag in header for tag in OVERLAYS),
        burned_in=_text(header, "BurnedInAnnotation") == "YES",
        frames=(numbers(header, "NumberOfFrames") or [1])[0] > 1,
        windows=any(len(several) > 1 for several in alternatives),
        no_window=grey and bits > 8 and not first_window(header) and not first_table(header),
        lateral=is_lateral(header),
    )


def is_lateral(header: Any) -> bool:
    """By ViewPosition, else by PatientOrientation: rows that run from front to back or back."""
    view = _text(header, "ViewPosition")
    if view:
        return view in LATERAL_VIEWS
    orientation = header.get("PatientOrientation") or ""
    along_rows = orientation if isinstance(orientation, str) else str(orientation[0])
    return along_rows.upper().startswith(("A", "P"))


def read_all_traits(paths: Iterable[Path]) -> list[Traits]:
    """What the headers of all DICOM images among `paths` say.

    Other files are passed by; so are those whose header cannot be read, since reading their
    pixels says why.
    """
    traits = [read_traits(path) for path in paths]
    return [each for each in traits if each]


def read_traits(path: Path) -> Traits | None:
    """What one file's header says; None where it is no DICOM image, or cannot be read."""
    ending = path.suffix.lower()
    if ending in image_endings() and ending not in ENDINGS:
        return None
    try:
        header = read_attributes(path, TRAIT_ATTRIBUTES)
    except ImageError:
        return None
    # Without rows it is a report, or an index of a folder.
    return traits_of(header) if header is not None and "Rows" in header else None


def survey(paths: Iterable[Path], *, lateral_known: bool = False) -> list[str]:
    """`sentences` of all DICOM files among `paths`, to be called once for a set."""
    return sentences(read_all_traits(paths), lateral_known=lateral_known)


def sentences(traits: Sequence[Traits], *, lateral_known: bool = False) -> list[str]:
    """One for each trait that some images of a set have, with how many they are.

    `lateral_known`: training had lateral views too, so that they are nothing to warn of. No file
    is named, for a DICOM file's name often is an identifier.
    """
    counts = {name: sum(getattr(each, name) for each in traits) for name in SENTENCES}
    if lateral_known:
        del counts["lateral"]
    return [
        f"{count} of {len(traits)} DICOM images {SENTENCES[name]}"
        for name, count in counts.items() if count
    ]  # fmt: skip


def _attributes(path: Path, file: BinaryIO, names: Iterable[str | int]) -> Any:
    import pydicom
    from pydicom.errors import BytesLengthException
    from pydicom.uid import DeflatedExplicitVRLittleEndian

    meta = pydicom.filereader.read_file_meta_info(path)
    if meta.get("TransferSyntaxUID") == DeflatedExplicitVRLittleEndian:  # see `read_dicom`
        raise ValueError("it is deflated as a whole")
    tags: list[Any] = list(names)
    broken: tuple[type[Exception], ...] = (*DECODING_ERRORS, BytesLengthException)
    header = pydicom.dcmread(file, stop_before_pixels=True, specific_tags=tags)
    for tag in list(header.keys()):
        try:
            header[tag]  # pydicom decodes a value when it is asked for it
        except broken:
            del header[tag]
    return header


def _text(header: Any, name: str) -> str:
    """A value in capitals, empty where there is none or several."""
    value = header.get(name)
    return value.strip().upper() if isinstance(value, str) else ""
