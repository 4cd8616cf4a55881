"""`check_loss` catches wrong losses by the name of their fault; tests/laws hold every loss of ours against it."""

import numpy as np
import pytest

from sklosses.losses import LossCheckError, Target, Traits, as_loss, check_loss, get_loss

SIGNS = Target(-1, 1, codes=(-1.0, 1.0), hard=True)


class Huber:
    """A right one, for wrong ones to differ from in one place."""

    traits = Traits("residual", lipschitz=1.0, curvature=1.0)

    def value(self, y, p):
        a = abs(p - y)
        s = np.minimum(a, 1)
        return s * (a - s / 2)

    def gradient(self, y, p):
        return np.clip(p - y, -1, 1)

    def hessian(self, y, p):
        return np.where(abs(p - y) <= 1, 1.0, 0.0)

    def conjugate(self, y, u):
        return np.where(abs(u) <= 1, u * y + u**2 / 2, np.inf)


class Logistic:
    """Likewise, for two classes."""

    traits = Traits("margin", lipschitz=1.0, curvature=0.25, has_probability=True)
    target = SIGNS

    def value(self, y, p):
        return np.logaddexp(0, -y * p)

    def gradient(self, y, p):
        return -y * np.exp(-np.logaddexp(0, y * p))

    def probability(self, p):
        return np.exp(-np.logaddexp(0, -p))


class Sign(Huber):
    def gradient(self, y, p):
        return -super().gradient(y, p)


class Factor(Huber):
    traits = Traits("residual", lipschitz=2.0, curvature=2.0)

    def gradient(self, y, p):
        return 2 * super().gradient(y, p)


class Convexity:  # Cauchy's loss is not convex
    traits = Traits("residual", convex=True, lipschitz=0.5, curvature=1.0)

    def value(self, y, p):
        return np.log1p((p - y) ** 2) / 2

    def gradient(self, y, p):
        return (p - y) / (1 + (p - y) ** 2)


class Kink:
    traits = Traits("residual", smooth=True, lipschitz=1.0, curvature=1.0)

    def value(self, y, p):
        return abs(p - y)

    def gradient(self, y, p):
        return np.sign(p - y)


class Overflow(Logistic):
    def value(self, y, p):
        return np.log(1 + np.exp(-y * p))


class OverflowInGradient(Logistic):
    def gradient(self, y, p):
        return -y * np.exp(-y * p) / (1 + np.exp(-y * p))


class LipschitzConstant(Huber):
    traits = Traits("residual", lipschitz=0.9, curvature=1.0)


class Curvature(Logistic):
    traits = Traits("margin", lipschitz=1.0, curvature=0.2)


class SelfConcordance(Logistic):
    traits = Traits("margin", lipschitz=1.0, curvature=0.25, self_concordance=0.9)


class SelfConcordanceOfAKink(Huber):
    traits = Traits("residual", lipschitz=1.0, curvature=1.0, self_concordance=100.0)


class CurvatureOfAKink(Kink):
    traits = Traits("residual", smooth=False, lipschitz=1.0, curvature=1.0)


class Hessian(Huber):
    def hessian(self, y, p):
        return np.where(abs(p - y) <= 1, 0.5, 0.0)


class Conjugate(Huber):
    traits = Traits("residual", lipschitz=1.0, curvature=1.0, has_conjugate=True)

    def conjugate(self, y, u):
        return np.where(abs(u) <= 1, u**2 / 2, np.inf)


class ConjugateWithoutBounds(Huber):
    traits = Traits("residual", lipschitz=1.0, curvature=1.0, has_conjugate=True)

    def conjugate(self, y, u):
        return u * y + u**2 / 4


class Domain:
    traits = Traits("other")

    def value(self, y, p):
        return p + np.log(y + 1) * np.exp(-p)

    def gradient(self, y, p):
        return 1 - np.log(y + 1) * np.exp(-p)


class DomainOfPredictions:
    traits = Traits("other")
    target = Target(low=0)

    def value(self, y, p):
        return p - y * np.log(p)

    def gradient(self, y, p):
        return 1 - y / p


class Continuity(Huber):
    def value(self, y, p):
        return super().value(y, p) + 0.5 * (abs(p - y) > 1)


class Kind(Huber):
    def value(self, y, p):
        return super().value(y, p) * (1 + y**2)

    def gradient(self, y, p):
        return super().gradient(y, p) * (1 + y**2)


class KindOfMargin(Logistic):
    def value(self, y, p):
        return super().value(y, p) * (2 + y)

    def gradient(self, y, p):
        return super().gradient(y, p) * (2 + y)


class Gradient(Huber):
    def gradient(self, y, p):
        return np.clip(p - y, -1.0, 0.5)


class Elementwise(Huber):
    def gradient(self, y, p):
        return super().gradient(y, p) / len(p)


class BothAtOnce(Huber):
    def value_and_gradient(self, y, p):
        return self.value(y, p), -self.gradient(y, p)


class Prox(Huber):
    def prox(self, y, v, step):
        return v - step * self.gradient(y, v)


class Smoothness(Kink):  # at its kink the gradient is none of the slopes between
    traits = Traits("residual", smooth=False, lipschitz=5.0)

    def gradient(self, y, p):
        return np.where(p == y, 5.0, np.sign(p - y))


class Smoothed(Kink):  # by too much
    traits = Traits("residual", smooth=False, lipschitz=1.0)

    def smoothed(self, mu):
        return get_loss("smoothed_absolute_error", width=5 * mu)


class Probability(Logistic):
    def probability(self, p):
        return np.exp(-np.logaddexp(0, -2 * p))


FAULTS = [
    (Sign, "sign"),
    (Factor, "factor"),
    (Convexity, "convexity"),
    (Kink, "kink"),
    (Overflow, "overflow"),
    (OverflowInGradient, "overflow"),
    (LipschitzConstant, "lipschitz"),
    (Curvature, "curvature"),
    (CurvatureOfAKink, "curvature"),
    (SelfConcordance, "self_concordance"),
    (SelfConcordanceOfAKink, "self_concordance"),
    (Hessian, "hessian"),
    (Conjugate, "conjugate"),
    (ConjugateWithoutBounds, "conjugate"),
    (Domain, "domain"),
    (DomainOfPredictions, "domain"),
    (Continuity, "continuity"),
    (Kind, "kind"),
    (KindOfMargin, "kind"),
    (Gradient, "gradient"),
    (Elementwise, "elementwise"),
    (BothAtOnce, "elementwise"),
    (Prox, "prox"),
    (Smoothness, "smoothness"),
    (Smoothed, "smoothed"),
    (Probability, "probability"),
]


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("huber", {"epsilon": 0.01}),
        ("quantile", {"quantile": 0.9}),
        ("cauchy", {"scale": 20.0}),
        ("tweedie", {"power": 1.9}),
        ("tweedie", {"power": 3.0}),
        ("focal", {"gamma": 5.0}),
        ("smoothed_hinge", {"width": 0.05}),
        ("epsilon_insensitive", {"epsilon": 0.01}),  # two kinks within a step of the differences
        ("log_loss", {"pos_weight": 0.5}),  # the probability is that of the reweighted problem
    ],
)
def test_losses_of_ours_pass_with_other_parameters(name, parameters):
    check_loss(get_loss(name, **parameters), verbose=False)


@pytest.mark.parametrize("right", [Huber, Logistic])
def test_right_losses_pass(right):
    check_loss(right(), verbose=False)


@pytest.mark.parametrize(("wrong", "fault"), FAULTS, ids=[wrong.__name__ for wrong, _ in FAULTS])
def test_wrong_losses_are_caught_by_name_of_the_fault(wrong, fault):
    with pytest.raises(LossCheckError, match=fault) as caught:
        check_loss(wrong(), verbose=False)
    assert caught.value.fault == fault
    assert caught.value.counterexample
    assert wrong.__name__ in str(caught.value)


def test_the_table_is_printed(capsys):
    check_loss("huber")
    printed = capsys.readouterr().out
    assert printed.startswith("check_loss: Huber(epsilon=1.35)")
    for check in ("domain", "overflow", "gradient", "hessian", "convexity", "lipschitz", "curvature", "conjugate"):
        assert f"\n{check} " in printed


def test_the_table_of_a_wrong_loss_ends_with_its_fault(capsys):
    with pytest.raises(LossCheckError):
        check_loss(Sign())
    assert capsys.readouterr().out.splitlines()[-1].split()[0] == "sign"


def test_extended_precision_is_used_where_there_is_some(capsys):
    check_loss(Huber())
    wide = np.finfo(np.longdouble).eps < np.finfo(np.float64).eps
    assert ("extended" in capsys.readouterr().out) == wide


def test_places_may_be_given():
    class OnlyFarAway(Huber):
        def gradient(self, y, p):
            return np.where(abs(p - y) > 2e5, 0.0, super().gradient(y, p))

    check_loss(OnlyFarAway(), verbose=False)
    with pytest.raises(LossCheckError) as caught:
        check_loss(OnlyFarAway(), y=[0.0], raw_prediction=np.linspace(-1e6, 1e6, 1001), verbose=False)
    assert abs(caught.value.counterexample["p"]) > 1e5


def test_bad_input():
    with pytest.raises(ValueError, match="2 losses"):
        check_loss(get_loss("huber", epsilon=[1.0, 2.0]))
    with pytest.raises(ValueError, match="y contains -1"):
        check_loss("poisson", y=[-1.0])
    with pytest.raises(TypeError, match="value"):
        check_loss(3)


def test_declarations_apart_from_the_object():
    with pytest.raises(LossCheckError, match="curvature"):
        check_loss(as_loss(Huber(), traits=Traits("residual", lipschitz=1.0, curvature=0.9)), verbose=False)
