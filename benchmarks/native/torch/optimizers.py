"""Keras' Adam: PyTorch's fastest where steps are eager, one to trace where not."""

import math

import torch


class FusedAdam(torch.optim.Adam):
    """`torch.optim.Adam`, all parameters in one kernel.

    Args:
        parameters: What it changes.
        rate: Learning rate.
        beta_1: Decay of the first moments.
        beta_2: Decay of the second moments.
        epsilon: As `plan.adam` says.
    """

    def __init__(self, parameters, rate, beta_1, beta_2, epsilon):
        self.parameters = list(parameters)
        self.beta_2, self.epsilon, self.taken = beta_2, epsilon, 0
        super().__init__(self.parameters, lr=rate, betas=(beta_1, beta_2), fused=True)

    def minimize(self, loss):
        """Takes one step; what else the loss depends on is neither changed nor differentiated."""
        self.zero_grad(set_to_none=True)
        loss.backward(inputs=self.parameters)
        self.taken += 1
        # Keras' epsilon as PyTorch's, which is added to the unbiased root.
        self.param_groups[0]["eps"] = self.epsilon / math.sqrt(1 - self.beta_2**self.taken)
        self.step()

    @property
    def first_moments(self):
        """One a parameter."""
        return [self.state[parameter]["exp_avg"] for parameter in self.parameters]


class TracedAdam:
    """Adam written out, so that inductor makes it part of the step's one graph.

    `torch.optim.Adam.step` breaks the graph by design. Called after a graph of the rest, fused, it
    made a step of `gan_ring` 2.2 times as long, of `vae_conv` 1.17 and of `vae_mlp` 1.03.

    Arguments as `FusedAdam`'s.
    """

    def __init__(self, parameters, rate, beta_1, beta_2, epsilon):
        self.parameters = list(parameters)
        self.rate, self.betas, self.epsilon = rate, (beta_1, beta_2), epsilon
        self.first_moments = [torch.zeros_like(parameter) for parameter in self.parameters]
        self.squares = [torch.zeros_like(parameter) for parameter in self.parameters]
        self.steps = torch.zeros((), device=self.parameters[0].device)

    def minimize(self, loss):
        """Takes one step; what else the loss depends on is neither changed nor differentiated."""
        gradients = torch.autograd.grad(loss, self.parameters)
        beta_1, beta_2 = self.betas
        with torch.no_grad():
            self.steps += 1
            rate = self.rate * torch.sqrt(1 - beta_2**self.steps) / (1 - beta_1**self.steps)
            moments = zip(self.parameters, gradients, self.first_moments, self.squares, strict=True)
            for parameter, gradient, mean, square in moments:
                mean.lerp_(gradient, 1 - beta_1)
                square.lerp_(gradient.square(), 1 - beta_2)
                parameter -= rate * mean / (square.sqrt() + self.epsilon)
