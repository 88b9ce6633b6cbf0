"""Problems that bring their own relations, under a compiler and on another device."""

import numpy as np
import pytest
import torch
from counting import without_numbers
from test_relations import network, problems
from torch._subclasses.fake_tensor import FakeTensorMode

from eqr.model import Reasoner
from eqr.random import Streams
from eqr.tasks.csp import csp_for
from eqr.tasks.family import family_of
from eqr.training.loss import LossConfig, segment_loss


def begun(interchangeable: bool) -> tuple[Reasoner, torch.Tensor, torch.Tensor, torch.Tensor]:
    """A network, and the starts, questions and answers of five problems."""
    made = problems(5)
    task = csp_for(made, family_of(made, interchangeable))
    model = network(task)
    inputs, labels = (torch.from_numpy(np.stack(rows)).long() for rows in zip(*map(task.rows_of, made), strict=True))
    return model, model.init(Streams.numbered(0, range(5)), 0, inputs), inputs, labels


@pytest.mark.parametrize("interchangeable", [True, False])
def test_a_compiler_gets_the_loss_as_one_graph(interchangeable: bool) -> None:
    begin, config = begun(interchangeable), LossConfig()
    plain = segment_loss(*begin, None, config)
    compiled = torch.compile(segment_loss, backend="aot_eager", fullgraph=True)(*begin, None, config)
    torch.testing.assert_close(compiled.loss, plain.loss)
    torch.testing.assert_close(compiled.z, plain.z)


def test_a_segment_mixes_no_devices_and_waits_for_no_number() -> None:
    """On tensors without numbers: an operator that mixes devices fails, and so does one that needs a number."""
    model, *tensors = begun(False)
    with FakeTensorMode(allow_non_fake_inputs=True) as mode:
        without_numbers(model, mode)
        z, inputs, labels = (mode.from_tensor(tensor).to("meta") for tensor in tensors)
        segment_loss(model, z, inputs, labels, None, LossConfig()).loss.backward()
