"""Features from the statistics alone: what a spec without a features section gets.

    candidates(columns, spec, label)          what to collect of every column, in the one scan
    propose(statistics, spec)                 a rule for each column, or why it is left out
    settled(statistics, wanted)               the statistics as the proposed rules would have collected them
    Proposal.section()                        the features section, to be pasted into the spec and changed
    chosen(text)                              the features of such a section

A spec with the proposed section pasted in gets the same plan, to the bit.
"""

from __future__ import annotations

from penstock.auto.candidates import candidates, settled
from penstock.auto.proposal import FILE, Proposal, chosen
from penstock.auto.propose import propose

__all__ = ["FILE", "Proposal", "candidates", "chosen", "propose", "settled"]
