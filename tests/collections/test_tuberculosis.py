"""What both tuberculosis sets share: names, clinical readings, masks."""

import pytest

from covid.collections.tuberculosis import read_reading


@pytest.mark.parametrize(
    ("text", "sex", "age"),
    [
        ("Patient's Sex: F \nPatient's Age: 027Y\nnormal", "F", "27"),
        ("Patient's Sex: O \nPatient's Age: 005Y\nnormal", "", "5"),
        ("Patient's Sex: M\r\nPatient's Age: 016M\r\nnormal", "M", "1"),
        ("male 45yrs\nnormal", "M", "45"),
        ("\n Female,24yrs\nsecondary PTB", "F", "24"),
        ("femal 32yrs\nnormal", "F", "32"),
        ("female24yrs\nnormal", "F", "24"),
        ("male , 29yrs  \t\nbilateral PTB", "M", "29"),
        ("male 16month\nnormal", "M", "1"),
        ("female 64days\nnormal", "F", "0"),
        ("male 42\nnormal", "M", ""),
        ("", "", ""),
    ],
)
def test_a_reading_says_sex_and_years(text: str, sex: str, age: str) -> None:
    assert read_reading(text) == (sex, age)
