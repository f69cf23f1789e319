"""LGL-INR's Table 1: what class weights do to the probabilities of a converged classifier.

    python benchmarks/lgl_inr_table1.py --runs 100

Two classes, N_0 = 1000 and N_1 = 10000 training samples, weights λ_0 and λ_1 = 1 - λ_0. By the paper's eq. (10) a
converged classifier has (1 - p_00) / p_10 = λ_1 N_1 / (λ_0 N_0), where p_jk is the mean probability of class k over the
samples of class j; the left side is taken on 1000 + 1000 test samples, mean and standard deviation over runs.

The λ_0 that the paper prints over the last two columns do not give the values below them: by eq. (10) they give 100 and
50. Those that do are used here, and both are shown.

Sim1 is a logistic regression on one number, fitted by Newton's method; Sim2 a 3-10-1 network of sigmoids, fitted by
damped Fisher scoring, its output layer by Newton's method in the end. All runs are fitted at once. The paper's "1.2 I"
is read as a standard deviation of 1.2 in each dimension; it gives no optimiser.
"""

import argparse
import time
from pathlib import Path

import torch
from rich.table import Table
from torch import Tensor

from lt_lightning.results import environment, write_json
from lt_lightning.tables import show

N0, N1, TEST = 1000, 10000, 1000
PRINTED = {"1/2": 0.5, "N0/(N0+N1)": N0 / (N0 + N1), "2N0/(2N0+N1)": 2 * N0 / (2 * N0 + N1)}
MEANT = {"1/2": 0.5, "N1/(N0+N1)": N1 / (N0 + N1), "2N1/(N0+2N1)": 2 * N1 / (N0 + 2 * N1)}
PAPER = {"Sim1": ((10.05, 1.13), (1.00, 0.09), (0.50, 0.04)), "Sim2": ((10.12, 0.67), (1.01, 0.05), (0.50, 0.03))}
HIDDEN = 10
TOGETHER = 10
"""Runs of Sim2 fitted at a time: their Jacobians must fit into memory."""


def sim1(runs: int, n0: int, n1: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Samples of both classes, one number each, ``(R, n0, 1)`` and ``(R, n1, 1)``."""
    x0 = 1.5 + _normal(runs, n0, 1, generator) - 0.5 * _uniform(runs, n0, 1, generator)
    x1 = -1.5 + _normal(runs, n1, 1, generator) + 0.5 * _uniform(runs, n1, 1, generator)
    return x0, x1


def sim2(runs: int, n0: int, n1: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Samples of both classes, three numbers each, ``(R, n0, 3)`` and ``(R, n1, 3)``."""
    return 1.0 + _normal(runs, n0, 3, generator), 1.2 * _normal(runs, n1, 3, generator)


def _normal(runs: int, number: int, size: int, generator: torch.Generator) -> Tensor:
    return torch.randn(runs, number, size, generator=generator, dtype=torch.float64)


def _uniform(runs: int, number: int, size: int, generator: torch.Generator) -> Tensor:
    return torch.rand(runs, number, size, generator=generator, dtype=torch.float64)


def labels_and_weights(lambda0: float) -> tuple[Tensor, Tensor]:
    """1 for class 0 (p is its probability), and weights with mean about 1, ``(N0 + N1,)`` each."""
    label = torch.cat((torch.ones(N0), torch.zeros(N1))).double()
    weight = torch.where(label == 1, lambda0, 1 - lambda0)
    return label, weight / weight.sum()


def with_one(inputs: Tensor) -> Tensor:
    """Inputs and a constant, whose coefficient is the bias."""
    return torch.cat((inputs, torch.ones_like(inputs[..., :1])), dim=-1)


def newton(inputs: Tensor, label: Tensor, weight: Tensor, start: Tensor, steps: int = 30) -> Tensor:
    """Weighted logistic regression of each run.

    Args:
        inputs: ``(R, N, D)``, with a constant.
        label: ``(N,)``, 0 or 1.
        weight: ``(N,)``, summing to 1.
        start: First coefficients, ``(R, D)``.
        steps: At most.

    Returns:
        ``(R, D)``.
    """
    coefficients = start
    for _ in range(steps):
        p = torch.einsum("rnd,rd->rn", inputs, coefficients).sigmoid()
        gradient = torch.einsum("rnd,rn->rd", inputs, weight * (p - label))
        hessian = (inputs * (weight * p * (1 - p)).unsqueeze(2)).transpose(1, 2) @ inputs
        hessian.diagonal(dim1=1, dim2=2).add_(1e-12)
        step = torch.linalg.solve(hessian, gradient)
        # far from the optimum p saturates and full steps overshoot
        coefficients = coefficients - step * (5 / step.norm(dim=1, keepdim=True)).clamp_max(1)
        if step.abs().max() < 1e-9:
            break
    return coefficients


def hidden_units(inputs: Tensor, first: Tensor) -> Tensor:
    """Hidden layer, ``(R, N, 4)`` and ``(R, 10, 4)`` to ``(R, N, 10)``."""
    return (inputs @ first.transpose(1, 2)).sigmoid()


def fit_network(
    inputs: Tensor, label: Tensor, weight: Tensor, generator: torch.Generator, steps: int = 12
) -> tuple[Tensor, Tensor]:
    """Weighted cross entropy of a network with one hidden layer, each run.

    Args:
        inputs: ``(R, N, 4)``, with a constant.
        label: ``(N,)``, 0 or 1.
        weight: ``(N,)``, summing to 1.
        generator: Of the first weights.
        steps: Of Fisher scoring.

    Returns:
        Coefficients of the hidden units, ``(R, 10, 4)``, and of the output, ``(R, 11)``.
    """
    runs, _, size = inputs.shape
    exact, inputs = inputs, inputs.float()  # the hidden layer need not be exact: the property is the last one's
    first = torch.randn(runs, HIDDEN, size, generator=generator)
    last = 0.1 * torch.randn(runs, HIDDEN + 1, generator=generator)
    for step in range(steps):
        units = hidden_units(inputs, first)
        p = (torch.einsum("rnh,rh->rn", units, last[:, :-1]) + last[:, -1:]).sigmoid()
        slope = units * (1 - units) * last[:, None, :-1]
        jacobian = torch.cat(((slope.unsqueeze(3) * inputs.unsqueeze(2)).flatten(2), with_one(units)), dim=2)
        gradient = torch.einsum("rnp,rn->rp", jacobian, (weight * (p - label)).float())
        fisher = (jacobian * (weight * p * (1 - p)).float().unsqueeze(2)).transpose(1, 2) @ jacobian
        fisher.diagonal(dim1=1, dim2=2).add_(1e-2 * 0.6**step + 1e-5)
        change = torch.linalg.solve(fisher, gradient)
        change = change * (2 / change.norm(dim=1, keepdim=True)).clamp_max(1)
        first = first - change[:, : HIDDEN * size].view(runs, HIDDEN, size)
        last = last - change[:, HIDDEN * size :]
    first = first.double()
    return first, newton(with_one(hidden_units(exact, first)), label, weight, last.double())


def left_side(p0: Tensor, p1: Tensor) -> Tensor:
    """(1 - p_00) / p_10 of each run, from probabilities of class 0 on the samples of class 0 and of class 1."""
    return (1 - p0).mean(dim=1) / p1.mean(dim=1)


def simulate(simulation: str, lambda0: float, runs: int, seed: int) -> tuple[Tensor, float]:
    """Left side of eq. (10) of each run, ``(R,)``, and the largest relative residual of eq. (8) on training samples."""
    label, weight = labels_and_weights(lambda0)
    values, residuals = [], []
    for start in range(0, runs, TOGETHER):
        number = min(TOGETHER, runs - start)
        generator = torch.Generator().manual_seed(1000 * seed + start)
        draw = sim1 if simulation == "Sim1" else sim2
        inputs = with_one(torch.cat(draw(number, N0, N1, generator), dim=1))
        tests = [with_one(x) for x in draw(number, TEST, TEST, generator)]
        if simulation == "Sim1":
            last = newton(inputs, label, weight, torch.zeros(number, 2).double())
        else:
            first, last = fit_network(inputs, label, weight, generator)
            inputs, *tests = (with_one(hidden_units(x, first)) for x in (inputs, *tests))
        p, p0, p1 = (torch.einsum("rnd,rd->rn", x, last).sigmoid() for x in (inputs, *tests))
        values.append(left_side(p0, p1))
        left, right = (weight * label * (1 - p)).sum(dim=1), (weight * (1 - label) * p).sum(dim=1)
        residuals.append(((left - right) / (left + right)).abs().max().item())
    return torch.cat(values), max(residuals)


def main() -> None:
    """Run both simulations with all weightings, print them beside the paper's, write them down."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results/lgl_inr_table1.json"))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    table = Table(title=f"LGL-INR, Table 1, {arguments.runs} runs; (1 - p00) / p10, mean (std)", title_justify="left")
    for head in ("", "λ0 printed", "λ0 meant", "eq. (10), printed", "eq. (10), meant", "paper", "here"):
        table.add_column(head)
    rows = []
    started = time.perf_counter()
    for simulation, published in PAPER.items():
        lambdas = zip(PRINTED.items(), MEANT.items(), published, strict=True)
        for (printed, printed0), (meant, lambda0), (mean, std) in lambdas:
            values, residual = simulate(simulation, lambda0, arguments.runs, arguments.seed)
            spread = values.std().item() if len(values) > 1 else 0.0
            theory, misprint = ((1 - l0) * N1 / (l0 * N0) for l0 in (lambda0, printed0))
            rows.append(
                {
                    "simulation": simulation,
                    "lambda0_printed": printed,
                    "lambda0_meant": meant,
                    "theory_as_printed": misprint,
                    "theory": theory,
                    "paper": {"mean": mean, "std": std},
                    "here": {"mean": values.mean().item(), "std": spread},
                    "largest_training_residual": residual,
                }
            )
            here = f"{values.mean():.2f} ({spread:.2f})"
            table.add_row(simulation, printed, meant, f"{misprint:g}", f"{theory:g}", f"{mean:.2f} ({std:.2f})", here)
    seconds = time.perf_counter() - started
    show(table)
    record = {"environment": environment(), "runs": arguments.runs, "seed": arguments.seed, "seconds": seconds}
    write_json(arguments.output, {**record, "rows": rows})
    print(f"{seconds:.0f} s; largest residual of eq. (8) {max(row['largest_training_residual'] for row in rows):.1e}")
    print(f"{record['environment']}\nwritten to {arguments.output}")


if __name__ == "__main__":
    main()
