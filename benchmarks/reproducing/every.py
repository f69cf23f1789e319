"""Every table and figure by the name that ``--table`` takes."""

from reproducing.balanced import DLR1, LGL3, LGL4, LGL5
from reproducing.elm import ELM1, ELM2, ELM3
from reproducing.lort import FIGURE4, FIGURE5, LORT1, LORT2, LORT3
from reproducing.tables import Figure, Table

TABLES: dict[str, Table] = {
    table.name: table for table in (LORT1, LORT2, LORT3, ELM1, ELM2, ELM3, DLR1, LGL3, LGL4, LGL5)
}
FIGURES: dict[str, Figure] = {figure.name: figure for figure in (FIGURE4, FIGURE5)}
SIMULATION = "lgl1"
NAMES = (
    "lort1",
    "lort2",
    "lort3",
    "lort_fig4",
    "lort_fig5",
    "elm1",
    "elm2",
    "elm3",
    "dlr1",
    SIMULATION,
    "lgl3",
    "lgl4",
    "lgl5",
)
LEFT_OUT = {"dlr2": "person re-identification, for which there is neither a data set nor a preset here"}
"""Tables whose values are here and that are not run, with the reason."""
