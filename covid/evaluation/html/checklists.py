"""Where report.html says what two reporting guidelines ask for, item by item, and never a score.

CLAIM 2024: Tejani et al., "Checklist for Artificial Intelligence in Medical Imaging (CLAIM): 2024
Update", Radiology: Artificial Intelligence 2024;6(4):e240300. Its text has no open licence, so
items are numbers here, and the words beside them are names of our own report's parts.
TRIPOD+AI: Collins et al., "TRIPOD+AI statement", BMJ 2024;385:e078378, CC BY 4.0: item names are
paraphrased.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal

from covid.evaluation.html.elements import Markup, element, join, paragraph, section

Status = Literal["here", "you must say", "not applicable"]
STYLES: dict[Status, str] = {"here": "here", "you must say": "yours", "not applicable": "none"}
# Parts of the report that items point at; what a report may lack is a fact that it must have.
PLACES = {
    "what": "What this is", "data": "The data", "results": "Results",
    "calibration": "Calibration", "failures": "Where it fails", "sites": "Other hospitals",
    "made": "How it was made",
}  # fmt: skip


@dataclass(frozen=True)
class Item:
    """One item of a checklist, and what of it this report can hold.

    It is "here" where the report has all facts that it `needs`, and "you must say" otherwise.
    """

    number: str
    name: str = ""  # TRIPOD+AI's only
    place: str = ""  # of PLACES: what there is of it
    needs: tuple[str, ...] | None = None  # None: no program can know it
    otherwise: Status = "you must say"  # where a fact is missing

    def status(self, facts: Collection[str]) -> Status:
        if self.needs is not None and set(self.needs) <= set(facts):
            return "here"
        return self.otherwise


def _here(number: str, name: str, place: str, *needs: str) -> Item:
    return Item(number, name, place, needs)


def _never(number: str, name: str = "") -> Item:
    return Item(number, name, otherwise="not applicable")


# No item of CLAIM has words. Numbers without an entry are for the authors to say.
_CLAIM = {
    item.number: item
    for item in (
        _here("1", "", "what"), Item("7", place="data"), Item("8", place="data"),
        _here("9", "", "made", "config"), Item("12", place="data"), Item("19", place="data"),
        _here("20", "", "data", "patients"), _here("22", "", "made", "config"),
        _here("23", "", "made", "versions"), _here("24", "", "made", "config"),
        _here("25", "", "made", "config"), _here("26", "", "made", "config"), _never("27"),
        _here("28", "", "results"), _here("29", "", "results"), Item("30", place="failures"),
        _here("32", "", "results", "own test"), _here("33", "", "sites", "external"),
        Item("35", place="data"), _here("36", "", "data", "people"),
        _here("37", "", "results"), _here("38", "", "results"), _here("39", "", "failures"),
        Item("40", place="what"), Item("42", place="made"), Item("43", place="made"),
    )
}  # fmt: skip
CLAIM = tuple(_CLAIM.get(str(number), Item(str(number))) for number in range(1, 45))

TRIPOD_AI = (
    Item("1", "title", "what"),
    Item("2", "abstract"),
    Item("3a", "setting of care, reasons, earlier models"),
    Item("3b", "for which patients, purpose and users"),
    Item("3c", "known inequalities in health"),
    Item("4", "aims of the study"),
    Item("5a", "sources of the data, how representative", "data"),
    Item("5b", "dates of the data"),
    Item("6a", "kind, number and place of centres", "data"),
    Item("6b", "who was eligible"),
    Item("6c", "treatments"),
    _here("7", "preparing and checking the data", "made", "config"),
    Item("8a", "the outcome, how and when it was found"),
    Item("8b", "who assessed the outcome"),
    Item("8c", "blinding of that assessment"),
    _never("9a", "first choice of predictors: the image alone"),
    Item("9b", "how and when predictors (images) were taken", "data"),
    _never("9c", "who assessed predictors: a program reads pixels"),
    Item("10", "sample size, and its reasons", "what"),
    Item("11", "missing data", "data"),
    _here("12a", "how the data were divided and used", "data", "splits"),
    _here("12b", "how predictors (pixels) were transformed", "made", "config"),
    Item("12c", "kind of model, how it was built and tuned", "made"),
    _here("12d", "differences between clusters, such as hospitals: method", "sites", "external"),
    _here("12e", "measures and plots of performance", "results"),
    Item("12f", "updating the model, such as recalibration: method", "calibration",
         ("recalibration",), "not applicable"),
    _here("12g", "how predictions were computed", "made"),
    _here("13", "what was done about rare classes", "made", "config"),
    Item("14", "fairness: what was done for it", "failures"),
    _here("15", "what the model gives, and how thresholds were chosen", "results"),
    _here("16", "how the data evaluated differ from those trained on", "sites", "external"),
    Item("17", "ethics approval and consent"),
    Item("18a", "funding"),
    Item("18b", "conflicts of interest"),
    Item("18c", "protocol"),
    Item("18d", "registration"),
    Item("18e", "whether the data can be had"),
    Item("18f", "whether the code can be had", "made"),
    Item("19", "part that patients and public took"),
    _here("20a", "flow of patients, with and without the outcome", "data", "splits", "patients"),
    Item("20b", "characteristics of the patients", "data"),
    _here("20c", "patients evaluated beside those trained on", "data", "splits", "people"),
    _here("21", "patients and events in each analysis", "data", "splits", "patients"),
    Item("22", "the whole model, and how it can be had", "made"),
    _here("23a", "performance with intervals, subgroups too", "results"),
    _here("23b", "performance by cluster, such as hospital", "sites", "external"),
    Item("24", "updating the model: results", "calibration", ("recalibration",), "not applicable"),
    Item("25", "interpretation, fairness included"),
    Item("26", "limitations", "what"),
    Item("27a", "what to do with poor or missing images in use"),
    Item("27b", "what users must do and know"),
    Item("27c", "next steps of research"),
)  # fmt: skip


def checklist_section(facts: Collection[str]) -> Markup:
    """Both checklists. `facts` are words that items need: what this report holds."""
    tripod = element("a", "BMJ 2024;385:e078378", href="https://doi.org/10.1136/bmj-2023-078378")
    claim = element("a", "Radiology: Artificial Intelligence 2024;6(4):e240300",
                    href="https://doi.org/10.1148/ryai.240300")  # fmt: skip
    return section(
        "checklist", "For a paper: where this report says what",
        paragraph(
            "“Here” means that this report holds something on the item; whether that is enough, "
            "you decide. “You must say” means that no program can know it, or not all of it; a "
            "link then leads to what there is. Items are not counted: their number says nothing of "
            "a study's worth."
        ),
        element("h3", "TRIPOD+AI"),
        paragraph("Item names are paraphrased from Collins et al., ", tripod, ", CC BY 4.0."),
        _list(TRIPOD_AI, facts),
        element("h3", "CLAIM 2024"),
        paragraph("Items by number alone; their text is in Tejani et al., ", claim, "."),
        _list(CLAIM, facts, "checklist numbers"),
    )  # fmt: skip


def _list(items: Sequence[Item], facts: Collection[str], kind: str = "checklist") -> Markup:
    rows = []
    for item in items:
        status = item.status(facts)
        link = Markup()
        if item.place and status != "not applicable":
            link = element("a", PLACES[item.place], href=f"#{item.place}")
        parts = [part for part in (item.name, link) if part]
        words = join(parts[0], ": ", parts[1]) if len(parts) > 1 else join(*parts)
        rows.append(
            element(
                "li",
                element("span", f"item {item.number}"),
                element("span", status, class_=f"status {STYLES[status]}"),
                element("span", words, class_="where"),
            )
        )
    return element("ul", *rows, class_=kind)
