"""The section of LGL-INR's simulation."""

import json
from pathlib import Path

from reproducing.every import SIMULATION
from reproducing.tables import published
from reproducing.wording import machine, table_lines


def render_simulation(results: Path) -> str:
    """LGL-INR's Table 1, a simulation that ``benchmarks/lgl_inr_table1.py`` runs."""
    lines = ["## LGL-INR, Table 1: (1 − p₀₀) / p₁₀ of a converged classifier, a simulation", ""]
    lines += ["λ₀ of two columns is misprinted: by eq. (10) they would give 100 and 50. What is meant is run here.", ""]
    file = results / "lgl_inr_table1.json"
    ours = json.loads(file.read_text()) if file.is_file() else None
    here = {} if ours is None else {(r["simulation"], r["lambda0_meant"]): r["here"] for r in ours["rows"]}
    body = []
    for name, row in published(SIMULATION, keys=3).items():
        simulation, printed, meant = name.split(", ")
        found = here.get((simulation, meant))
        shown = "" if found is None else f"{found['mean']:.2f} ± {found['std']:.2f}"
        paper = f"{row['simulated']:.2f} ± {row['std']:.2f}"
        body.append([simulation, printed, meant, f"{row['theory']:g}", paper, shown])
    lines += table_lines(["", "λ₀ printed", "λ₀ meant", "eq. (10)", "paper", "ours"], body)
    if ours is not None:
        lines += [
            f"Ours: mean and standard deviation of {ours['runs']} runs; {machine(ours['environment'])}; "
            f"{ours['seconds']:.0f} seconds.",
            "",
        ]
    return "\n".join(lines)
