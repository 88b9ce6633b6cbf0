"""Relations that problems bring with them, as a network hears them: row-stochastic matrices. Knows no block.

The rows of a batch hold their relations in headers (``types.Frame``).
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from eqr.types import Embedded, Frame, State


class Relations:
    """The relations of R problems."""

    def __init__(self, ids: Int[Tensor, "R W"], frame: Frame) -> None:
        self.ids, self.frame = ids.contiguous(), frame
        """The rows; a kernel reads their headers by itself."""
        header = torch.split(ids[:, : sum(frame.parts)], list(frame.parts), 1)
        self.sizes, _, self.counts, self.links, self.ordered_links, self.attributes = header
        self.values: Bool[Tensor, "R V"] = torch.arange(frame.values, device=ids.device) < self.sizes[:, 1:2] - 1
        """True for the values that a variable of the problem may have."""
        variables = torch.arange(frame.variables, device=ids.device) < self.sizes[:, :1] - 1
        self.present: Bool[Tensor, "R L V"] = variables.unsqueeze(2) & self.values.unsqueeze(1)
        """True for the pairs of a variable and a value that the problem has."""
        self._matrices: Float[Tensor, "R K L L"] | None = None

    def kept(self, h: Embedded) -> Embedded:
        """Returns (R, L, V*C) with zeros for the pairs that the problem does not have."""
        return (h.view(*self.present.shape, -1) * self.present.unsqueeze(-1)).view(h.shape)

    def placed(self, z: State) -> State:
        """Returns a start (R, S, L, V*C) in which pairs of the problem have the first numbers, and absent pairs 0.

        So a problem starts from the same numbers in every frame (with one stream).
        """
        rows, streams, variables, _ = z.shape
        own = (self.sizes[:, 1] - 1).view(-1, 1, 1)
        variable = torch.arange(variables, device=z.device).view(1, -1, 1)
        number = variable * own + torch.arange(self.frame.values, device=z.device)
        number = torch.where(self.present, number, 0).view(rows, 1, -1, 1)
        pairs = z.view(rows, streams, variables * self.frame.values, -1)
        taken = pairs.gather(2, number.expand(-1, streams, -1, pairs.shape[-1]))
        return (taken * self.present.view(rows, 1, -1, 1)).view(z.shape)

    @property
    def matrices(self) -> Float[Tensor, "R K L L"]:
        """The weights with which each variable hears the others; rows of zeros where it hears none.

        A variable hears, of each of its groups, the mean of all members; of a group of an ordered relation the mean of
        the members after it, and in a matrix of its own the mean of those before it. Its groups weigh the same.
        """
        if self._matrices is None:  # a kernel does not need them
            self._matrices = self._heard()
        return self._matrices

    def _heard(self) -> Float[Tensor, "R K L L"]:
        free, ordered = iter(self._unordered()), iter(self._ordered())
        kinds = []
        for is_ordered in self.frame.relations:
            kinds += [next(ordered), next(ordered)] if is_ordered else [next(free)]
        if not kinds:
            return self.ids.new_zeros(self.ids.shape[0], 0, self.frame.variables, self.frame.variables).float()
        heard = torch.stack(kinds, 1)
        return heard / heard.sum(-1, keepdim=True).clamp(min=1e-9)

    def _unordered(self) -> list[Float[Tensor, "R L L"]]:
        """For each unordered relation, the sum over its groups of the weights of their members."""
        L, G, rows = self.frame.variables, self.frame.groups, self.ids.shape[0]
        group, variable = self._members(self.links)
        member = self.ids.new_zeros(rows, G + 1, L).float()  # the last group holds what is padding
        member[torch.arange(rows, device=group.device).unsqueeze(1), group.clamp(max=G), variable] = 1.0
        member = member[:, :G]
        share = member / member.sum(-1, keepdim=True).clamp(min=1)
        ends = self._of(False).cumsum(1)
        starts = ends - self._of(False)
        number = torch.arange(G, device=group.device)
        heard = []
        for start, end in zip(starts.unbind(1), ends.unbind(1), strict=True):
            of_relation = (number >= start.unsqueeze(1)) & (number < end.unsqueeze(1))
            heard.append((member * of_relation.unsqueeze(2)).transpose(1, 2) @ share)
        return heard

    def _ordered(self) -> list[Float[Tensor, "R L L"]]:
        """For each ordered relation, the sums of the weights of the members after a variable and before it."""
        if not any(self.frame.relations):
            return []
        L, rows = self.frame.variables, self.ids.shape[0]
        group, variable = self._members(self.ordered_links)
        written = self.ordered_links > 1
        together = (group.unsqueeze(1) == group.unsqueeze(2)) & written.unsqueeze(1) & written.unsqueeze(2)
        ends = self._of(True).cumsum(1)
        starts = ends - self._of(True)
        place = variable.unsqueeze(2) * L + variable.unsqueeze(1)
        heard = []
        for start, end in zip(starts.unbind(1), ends.unbind(1), strict=True):
            of_relation = ((group >= start.unsqueeze(1)) & (group < end.unsqueeze(1))).unsqueeze(2)
            together_here = together & of_relation
            # Members after the one that hears, then those before it.
            for members in (torch.triu(together_here, 1), torch.tril(together_here, -1)):
                share = members / members.sum(-1, keepdim=True).clamp(min=1)
                sums = share.new_zeros(rows, L * L).scatter_add(1, place.flatten(1), share.flatten(1))
                heard.append(sums.view(rows, L, L))
        return heard

    def _of(self, ordered: bool) -> Int[Tensor, "R K"]:
        """The number of groups of each relation that is ordered, or of each that is not."""
        which = [at for at, is_ordered in enumerate(self.frame.relations) if is_ordered == ordered]
        return self.counts[:, which] - 1

    def _members(self, links: Int[Tensor, "R M"]) -> tuple[Int[Tensor, "R M"], Int[Tensor, "R M"]]:
        """Group and variable of each member; a group beyond all others where there is none."""
        number = links - 2
        group = torch.where(links > 1, number // self.frame.variables, self.frame.groups + self.frame.ordered_links)
        return group, number.clamp(min=0) % self.frame.variables
