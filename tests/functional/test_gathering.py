"""Rows of all processes."""

import torch

from lt_lightning.functional.gathering import gather_rows
from tests.two_processes import in_two_processes

SHARES = ([1.0, 2.0, 3.0], [4.0]), ([], [5.0]), ([], [])


def gathered(rank):
    found = []
    for shares in SHARES:
        rows = torch.tensor(shares[rank], requires_grad=True)
        labels = rows.detach().long()[:, None].expand(-1, 2)  # another type and shape, not contiguous
        found.append([torch.cat(parts) for parts in gather_rows(rows, labels)])
        assert not found[-1][0].requires_grad
    return found


def test_every_process_has_the_rows_of_all_in_the_order_of_ranks(tmp_path):
    here, there = in_two_processes(gathered, tmp_path)
    for (rows, labels), others, shares in zip(here, there, SHARES, strict=True):
        assert rows.tolist() == [*shares[0], *shares[1]]
        assert labels.tolist() == [[int(row)] * 2 for row in rows]
        assert torch.equal(rows, others[0])
        assert torch.equal(labels, others[1])


def test_one_process_has_its_own():
    rows = torch.ones(2, requires_grad=True)
    ((only,), (other,)) = gather_rows(rows, rows + 1)
    assert only is rows
    assert other.tolist() == [2, 2]
