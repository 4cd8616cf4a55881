"""Losses made of C functions, wherever these come from."""

import copy
import ctypes
import pickle
import subprocess
import sys
import textwrap

import numpy as np
import pytest
from scipy import LowLevelCallable
from scipy.special import cython_special
from sklearn.base import clone

from oracle.classic import SGDClassifier, SGDRegressor
from sklosses.losses import CFunctionLoss, Huber, Traits, check_loss, get_loss

C = ctypes.CFUNCTYPE(ctypes.c_double, ctypes.c_double, ctypes.c_double)
TRAITS = Traits("residual", lipschitz=1.0, curvature=1.0)


def _value(y, p):
    a = abs(p - y)
    s = min(a, 1.0)
    return s * (a - 0.5 * s)


def _gradient(y, p):
    return max(-1.0, min(1.0, p - y))


def _hessian(y, p):
    return 1.0 if abs(p - y) <= 1 else 0.0


VALUE, GRADIENT, HESSIAN = C(_value), C(_gradient), C(_hessian)
HUBER = CFunctionLoss(VALUE, GRADIENT, HESSIAN, traits=TRAITS, name="c_huber")


def address(function):
    return ctypes.cast(function, ctypes.c_void_p).value


def with_numba():
    numba = pytest.importorskip("numba")
    compile_ = numba.cfunc("float64(float64, float64)")
    return compile_(_value), compile_(_gradient), compile_(_hessian)


def with_cffi():
    ffi = pytest.importorskip("cffi").FFI()
    return tuple(ffi.cast("double(*)(double, double)", address(f)) for f in (VALUE, GRADIENT, HESSIAN))


def with_scipy():
    return tuple(LowLevelCallable(f) for f in (VALUE, GRADIENT, HESSIAN))


def with_capsules():
    new = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p)(
        ("PyCapsule_New", ctypes.pythonapi)
    )
    return tuple(new(address(f), b"double (double,  double)", None) for f in (VALUE, GRADIENT, HESSIAN))


def with_ctypes():
    return VALUE, GRADIENT, HESSIAN


@pytest.fixture
def table():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 4))
    return X, X @ [1.0, -2.0, 0.5, 0.0] + rng.standard_t(2, size=200)


@pytest.mark.parametrize("source", [with_ctypes, with_scipy, with_capsules, with_cffi, with_numba])
def test_sources(source, table):
    X, y = table
    loss = CFunctionLoss(*source(), traits=TRAITS)
    for quantity in ("value", "gradient", "hessian"):
        np.testing.assert_array_equal(getattr(loss, quantity)(y, X[:, 0]), getattr(Huber(1.0), quantity)(y, X[:, 0]))
    for batch_size in (1, 32):
        settings = {"batch_size": batch_size, "random_state": 0, "max_iter": 5, "tol": None}
        mine = SGDRegressor(loss=loss, **settings).fit(X, y)
        np.testing.assert_array_equal(mine.coef_, SGDRegressor(loss=Huber(1.0), **settings).fit(X, y).coef_)


def test_check_loss_and_prox(table):
    X, y = table
    check_loss(HUBER, verbose=False)
    np.testing.assert_allclose(HUBER.prox(y, X[:, 0], 0.5), Huber(1.0).prox(y, X[:, 0], 0.5), rtol=1e-12)
    assert get_loss(HUBER) is HUBER


def test_user_data():
    with_data = ctypes.CFUNCTYPE(ctypes.c_double, ctypes.c_double, ctypes.c_double, ctypes.c_void_p)

    def scale(data):
        return ctypes.cast(data, ctypes.POINTER(ctypes.c_double))[0]

    value = with_data(lambda y, p, data: 0.5 * scale(data) * (p - y) ** 2)
    gradient = with_data(lambda y, p, data: scale(data) * (p - y))
    number = ctypes.c_double(3.0)
    data = ctypes.cast(ctypes.pointer(number), ctypes.c_void_p)
    loss = CFunctionLoss(LowLevelCallable(value, data), LowLevelCallable(gradient, data))
    assert loss.value([1.0], [3.0]).tolist() == [6.0]
    assert loss.gradient([1.0], [3.0]).tolist() == [6.0]


def test_classification(table):
    X, y = table
    hinge = CFunctionLoss(
        C(lambda y, p: max(0.0, 1 - y * p)),
        C(lambda y, p: -y if y * p <= 1 else 0.0),
        traits=Traits("margin", smooth=False),
    )
    settings = {"random_state": 0, "max_iter": 3, "tol": None}
    mine = SGDClassifier(loss=hinge, **settings).fit(X, y > 0)
    np.testing.assert_array_equal(mine.coef_, SGDClassifier(loss="hinge", **settings).fit(X, y > 0).coef_)


def test_copies_share_the_functions():
    for other in (clone(HUBER), copy.copy(HUBER), copy.deepcopy(HUBER), clone(SGDRegressor(loss=HUBER)).loss):
        assert other is not HUBER
        assert other == HUBER
        assert hash(other) == hash(HUBER)
    assert CFunctionLoss(VALUE, VALUE) != CFunctionLoss(VALUE, GRADIENT)
    assert CFunctionLoss(VALUE, GRADIENT, name="a") != CFunctionLoss(VALUE, GRADIENT, name="b")
    assert repr(HUBER) == "CFunctionLoss('c_huber')"


def test_pickling_an_address_is_refused(table):
    with pytest.raises(pickle.PicklingError, match=r"'c_huber' cannot be pickled: its value .*value='module:name'"):
        pickle.dumps(HUBER)
    with pytest.raises(pickle.PicklingError, match="c_huber"):
        pickle.dumps(SGDRegressor(loss=HUBER, random_state=0).fit(*table))


def test_pickling_by_name(tmp_path, monkeypatch):
    (tmp_path / "my_functions.py").write_text(
        textwrap.dedent("""
            import ctypes

            C = ctypes.CFUNCTYPE(ctypes.c_double, ctypes.c_double, ctypes.c_double)

            class squared:
                value = C(lambda y, p: (p - y) ** 2 / 2)

            gradient = C(lambda y, p: p - y)
        """)
    )
    monkeypatch.delenv("PYTHONSAFEPATH", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    loss = CFunctionLoss("my_functions:squared.value", "my_functions:gradient", traits=Traits("residual"), name="s")
    pickled = pickle.dumps(loss)
    assert pickle.loads(pickled) == loss == clone(loss)
    (tmp_path / "loss.pickle").write_bytes(pickled)
    code = "import pickle; print(pickle.load(open('loss.pickle', 'rb')).gradient(1.0, 4.0))"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "3.0"
    (tmp_path / "my_functions.py").unlink()
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "nothing to import as 'my_functions:squared.value'" in done.stderr


def test_pickling_numba_functions(tmp_path, monkeypatch):
    pytest.importorskip("numba")
    (tmp_path / "my_numba.py").write_text(
        textwrap.dedent("""
            import numba

            @numba.cfunc("float64(float64, float64)")
            def value(y, p):
                return (p - y) ** 2 / 2

            @numba.cfunc("float64(float64, float64)")
            def gradient(y, p):
                return p - y
        """)
    )
    monkeypatch.syspath_prepend(tmp_path)
    import my_numba

    loss = CFunctionLoss(my_numba.value, my_numba.gradient)
    assert pickle.loads(pickle.dumps(loss)) == loss
    with pytest.raises(pickle.PicklingError, match="gradient"):
        pickle.dumps(CFunctionLoss(my_numba.value, with_numba()[1]))


def test_nan_is_noticed(table):
    nan = CFunctionLoss(VALUE, C(lambda y, p: float("nan") if p != 0 else 0.0), name="holes")
    with pytest.raises(ValueError, match="gradient of the loss 'holes' is nan at y=1"):
        nan.gradient([1.0, 1.0], [0.0, 2.0])
    broken = CFunctionLoss(VALUE, C(lambda y, p: float("nan")), name="holes")
    for batch_size in (1, 16):
        for learning_rate in ("optimal", "constant"):
            model = SGDRegressor(loss=broken, batch_size=batch_size, learning_rate=learning_rate)
            with pytest.raises(ValueError, match="gradient of the loss 'holes' is nan"):
                model.fit(*table)
            assert not hasattr(model, "coef_")
    assert np.isnan(HUBER.value([np.nan], [1.0])[0])


@pytest.mark.parametrize(
    ("gradient", "message"),
    [
        (ctypes.CFUNCTYPE(ctypes.c_float, ctypes.c_float, ctypes.c_float)(_gradient), r"'float \(float, float\)'"),
        (ctypes.CFUNCTYPE(ctypes.c_double, ctypes.c_double)(abs), r"'double \(double\)'"),
        (ctypes.CFUNCTYPE(None, ctypes.c_double, ctypes.c_double)(_gradient), r"'void \(double, double\)'"),
        (ctypes.PYFUNCTYPE(ctypes.c_double, ctypes.c_double, ctypes.c_double)(_gradient), "GIL"),
        (_gradient, "numba.cfunc"),
        (3, "must be a numba cfunc"),
        (None, "must be a numba cfunc"),
        (C(), "null pointer"),
        (LowLevelCallable(HESSIAN, signature="double (int, double *)"), r"'double \(int, double \*\)'"),
        (cython_special.__pyx_capi__["gammaln"], "signature 'double"),
        ("json:nothing", "nothing to import as 'json:nothing'"),
        ("no_colon", "nothing to import"),
        ("json:loads", "must be"),
    ],
)
def test_what_is_no_such_function_is_refused(gradient, message):
    with pytest.raises(TypeError, match=message) as caught:
        CFunctionLoss(VALUE, gradient, name="mine")
    assert "gradient of the loss 'mine'" in str(caught.value)


@pytest.mark.skipif(sys.platform == "win32", reason="loads the C library of the process")
def test_undeclared_signatures_are_refused():
    with pytest.raises(TypeError, match="declares no signature"):
        CFunctionLoss(VALUE, ctypes.CDLL(None).labs)


def test_pointers_without_a_type_are_refused():
    ffi = pytest.importorskip("cffi").FFI()
    with pytest.raises(TypeError, match=r"ffi\.cast"):
        CFunctionLoss(VALUE, ffi.cast("void *", address(GRADIENT)))


def test_functions_of_other_signatures_from_numba():
    numba = pytest.importorskip("numba")
    with pytest.raises(TypeError, match=r"'float \(float, float\)'"):
        CFunctionLoss(VALUE, numba.cfunc("float32(float32, float32)")(_gradient))


def test_without_hessian():
    loss = CFunctionLoss(VALUE, GRADIENT, traits=TRAITS, name="mine")
    with pytest.raises(NotImplementedError, match="'mine' has no hessian"):
        loss.hessian([0.0], [0.0])
    np.testing.assert_allclose(loss.prox([0.0, 0.0], [3.0, 0.5], 2.0), Huber(1.0).prox([0.0, 0.0], [3.0, 0.5], 2.0))


def test_failed_changes_leave_the_loss_alone():
    loss = CFunctionLoss(VALUE, GRADIENT, traits=TRAITS)
    for wrong in ({"gradient": 3}, {"traits": 3}, {"tasks": "clustering"}, {"nothing": 1}):
        with pytest.raises((TypeError, ValueError)):
            loss.set_params(**wrong)
    assert loss == CFunctionLoss(VALUE, GRADIENT, traits=TRAITS)
    assert loss.set_params(value=HESSIAN).value([0.0], [0.5]).tolist() == [1.0]
