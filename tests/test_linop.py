"""The algebra of operators against dense matrices, and SciPy's solvers on them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse.linalg import aslinearoperator, cg, lsmr

from fslice.fourier import inner_product, irfft2, radii, rfft2
from fslice.operators.linop import LinearOperator, identity, stack
from fslice.operators.spaces import Space, from_vector, to_vector
from fslice.testing import check_adjoint

seeds = st.integers(0, 2**32 - 1)
sizes = st.integers(1, 7)
precisions = st.sampled_from(["float32", "float64"])


def real(*shape, dtype="float64"):
    return Space(shape, dtype)


def half(size, dtype="float64"):
    return Space((size, size // 2 + 1), "complex64" if dtype == "float32" else "complex128")


def from_matrix(matrix):
    rows, columns = matrix.shape
    dtype = matrix.dtype.name
    return LinearOperator(
        real(columns, dtype=dtype),
        real(rows, dtype=dtype),
        lambda x: matrix @ x,
        lambda y: matrix.T @ y,
    )


def transform(size, dtype="float64"):
    return LinearOperator(real(size, size, dtype=dtype), half(size, dtype), rfft2, irfft2)


def multiplication(space, factor):
    return LinearOperator(space, space, lambda z: factor * z, lambda z: factor.conj() * z)


def draw(space, rng):
    noise = rng.normal(size=space.shape)
    if np.dtype(space.dtype).kind == "c":
        noise = noise + 1j * rng.normal(size=space.shape)
    return noise.astype(space.dtype)


def dense(operator):
    """Return the matrix of an operator between real vectors."""
    matrix = operator.to_scipy()
    return matrix @ np.eye(matrix.shape[1], dtype=matrix.dtype)


@given(seed=seeds, sizes=st.tuples(sizes, sizes, sizes))
def test_the_algebra_is_that_of_matrices(seed, sizes):
    rng = np.random.default_rng(seed)
    n, k, m = sizes
    a, b, c = rng.normal(size=(n, k)), rng.normal(size=(n, k)), rng.normal(size=(k, m))
    operator_a, operator_b, operator_c = map(from_matrix, (a, b, c))
    pairs = [
        (operator_a, a),
        (operator_a.H, a.T),
        (operator_a @ operator_c, a @ c),
        (operator_a + operator_b, a + b),
        (operator_a - operator_b, a - b),
        (-operator_a, -a),
        (2.5 * operator_a, 2.5 * a),
        (operator_a * np.float32(0.5), 0.5 * a),
        (np.float64(3) * operator_a, 3 * a),
        (operator_a.H @ operator_b + 2 * identity(operator_a.domain), a.T @ b + 2 * np.eye(k)),
        (((operator_a - 2 * operator_b) @ operator_c).H, ((a - 2 * b) @ c).T),
    ]
    for operator, matrix in pairs:
        x, y = draw(operator.domain, rng), draw(operator.range, rng)
        assert np.allclose(operator(x), matrix @ x, rtol=1e-12, atol=1e-12)
        assert np.allclose(operator.H(y), matrix.T @ y, rtol=1e-12, atol=1e-12)


@given(seed=seeds, size=sizes, dtype=precisions)
def test_whatever_is_built_from_adjoint_pairs_has_its_adjoint(seed, size, dtype):
    rng = np.random.default_rng(seed)
    fourier = transform(size, dtype)
    phases = multiplication(fourier.range, draw(fourier.range, rng))
    gain = multiplication(fourier.domain, draw(fourier.domain, rng))
    filtered = fourier.H @ phases @ fourier
    for operator in (
        fourier,
        fourier.H,
        phases,
        filtered,
        filtered @ gain - 2 * gain,
        stack([filtered, gain, 3 * gain]),
        stack([phases, -phases]) @ fourier,
    ):
        x, y = draw(operator.domain, rng), draw(operator.range, rng)
        check_adjoint(operator, operator.H, x, y)


@given(seed=seeds, n=st.integers(1, 4))
def test_a_stack_puts_the_matrices_on_top_of_each_other(seed, n):
    rng = np.random.default_rng(seed)
    matrices = rng.normal(size=(n, 4, 3))
    operator = stack([from_matrix(matrix) for matrix in matrices])
    assert operator.range == real(n, 4)
    assert np.allclose(dense(operator), matrices.reshape(-1, 3))
    assert np.allclose(dense(operator.H), matrices.reshape(-1, 3).T)


def test_the_adjoint_of_the_adjoint_is_the_operator_itself():
    operator = transform(5)
    assert operator == operator.H.H


@given(seed=seeds, size=sizes, dtype=precisions)
def test_vectors_keep_the_inner_product_of_half_spectra_and_lead_back(seed, size, dtype):
    rng = np.random.default_rng(seed)
    space = half(size, dtype)
    a, b = draw(space, rng), draw(space, rng)
    vector = to_vector(a)
    assert vector.dtype == dtype
    tolerance = 10 * np.finfo(dtype).eps
    assert np.allclose(from_vector(vector, space), a, rtol=tolerance, atol=tolerance)
    scale = np.sqrt(inner_product(a, a) * inner_product(b, b))
    assert abs(vector @ to_vector(b) - inner_product(a, b)) <= tolerance * scale


@given(seed=seeds, size=sizes, dtype=precisions)
def test_the_transpose_in_scipy_is_the_adjoint(seed, size, dtype):
    rng = np.random.default_rng(seed)
    fourier = transform(size, dtype)
    for operator in (fourier, fourier.H, multiplication(fourier.range, draw(fourier.range, rng))):
        matrix = operator.to_scipy()
        assert matrix.dtype == dtype
        assert dense(operator).dtype == dtype
        tolerance = 100 * np.finfo(dtype).eps
        assert np.allclose(dense(operator.H), dense(operator).T, rtol=0, atol=tolerance)
        assert np.allclose(dense(operator), (matrix.T @ np.eye(matrix.shape[0])).T, atol=tolerance)


@given(size=sizes)
def test_the_vectors_of_the_transform_are_orthonormal(size):
    matrix = dense(transform(size))
    assert np.allclose(matrix.T @ matrix, np.eye(size * size), atol=1e-14)


def test_scipy_gives_a_single_column_and_a_matrix_alike(rng):
    matrix = rng.normal(size=(4, 3)).astype("float32")
    operator = from_matrix(matrix).to_scipy()
    block = rng.normal(size=(3, 2)).astype("float32")
    assert np.allclose(operator @ block, matrix @ block, rtol=1e-6)
    assert (operator @ block[:, :1]).shape == (4, 1)
    assert (operator @ block[:, 0]).dtype == "float32"
    assert (operator @ block[:, 0].astype("float64")).dtype == "float64"
    assert np.allclose((aslinearoperator(matrix) + operator) @ block, 2 * matrix @ block, rtol=1e-6)


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-4), ("float64", 1e-9)])
def test_scipy_solves_the_same_deconvolution_from_images_and_from_half_spectra(
    dtype, tolerance, rng
):
    """Blur, weight by a real-space mask, and undo both by least squares with a ridge."""
    size, ridge = 8, 0.05
    fourier = transform(size, dtype)
    blur = multiplication(fourier.range, np.exp(-(radii(size, 2) ** 2) / 20).astype(dtype))
    weight = multiplication(fourier.domain, rng.uniform(0.5, 1, (size, size)).astype(dtype))
    image = draw(fourier.domain, rng)

    observe = weight @ fourier.H @ blur @ fourier  # images to images
    observe_ft = weight @ fourier.H @ blur  # half spectra to images
    data = observe(image)
    normal = (observe.H @ observe + ridge**2 * identity(observe.domain)).to_scipy()
    exact = np.linalg.solve(
        dense(observe.H @ observe) + ridge**2 * np.eye(64), to_vector(observe.H(data))
    )

    by_cg, failed = cg(normal, to_vector(observe.H(data)), rtol=tolerance / 100)
    options = {"damp": ridge, "atol": tolerance / 100, "btol": tolerance / 100, "maxiter": 500}
    wide = to_vector(data).astype("float64")  # lsmr itself overflows in single precision
    by_lsmr = lsmr(observe.to_scipy(), wide, **options)[0]
    by_lsmr_ft = lsmr(observe_ft.to_scipy(), wide, **options)[0]
    half_spectrum = from_vector(by_lsmr_ft, fourier.range)

    assert not failed
    scale = np.linalg.norm(exact)
    assert np.linalg.norm(by_cg - exact) <= 30 * tolerance * scale
    assert np.linalg.norm(by_lsmr - exact) <= 30 * tolerance * scale
    assert np.linalg.norm(to_vector(irfft2(half_spectrum)) - exact) <= 30 * tolerance * scale
    assert np.allclose(rfft2(irfft2(half_spectrum)), half_spectrum, atol=tolerance * scale)


@given(dtype=precisions)
def test_scaling_and_stacking_keep_the_precision(dtype):
    operator = np.float64(2) * stack([identity(real(3, dtype=dtype))] * 2)
    assert operator(np.ones(3, dtype)).dtype == dtype


def test_results_are_new_arrays(rng):
    x = rng.normal(size=3)
    assert not np.shares_memory(identity(real(3))(x), x)


def test_input_of_another_kind_is_refused():
    operator = transform(4)
    with pytest.raises(ValueError, match=r"x: expected shape \(4, 4\), got \(4, 5\)"):
        operator(np.ones((4, 5)))
    with pytest.raises(TypeError, match="x: expected dtype float64, got float32"):
        operator(np.ones((4, 4), "float32"))
    with pytest.raises(TypeError, match="expected a NumPy or CuPy array, got list"):
        operator([[1.0]])
    with pytest.raises(ValueError, match=r"vector: expected shape \(24,\), got \(25,\)"):
        from_vector(np.ones(25), operator.range)


def test_a_map_that_leaves_the_range_is_found_out():
    wrong = LinearOperator(real(2), real(3), lambda x: x, lambda y: y.astype("float32")[:2])
    with pytest.raises(ValueError, match=r"result: expected shape \(3,\), got \(2,\)"):
        wrong(np.ones(2))
    with pytest.raises(TypeError, match="result: expected dtype float64, got float32"):
        wrong.H(np.ones(3))


def test_operators_between_other_spaces_are_refused():
    one, other = identity(real(2)), identity(real(3))
    with pytest.raises(
        ValueError, match=r"^@: expected an operator with range \(2,\) float64, got"
    ):
        one @ other
    with pytest.raises(
        ValueError, match=r"^\+: expected domain \(2,\) float64, got \(3,\) float64"
    ):
        one + other
    with pytest.raises(ValueError, match=r"^-: expected domain \(2,\) float64, got \(3,\) float64"):
        one - other
    with pytest.raises(ValueError, match=r"^stack: expected domain \(2,\) float64, got \(3,\)"):
        stack([one, other])
    with pytest.raises(ValueError, match="operators: expected at least one, got none"):
        stack([])


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        (lambda operator: operator @ np.ones(2), "^@: expected a LinearOperator, got ndarray; an"),
        (lambda operator: operator + 1, r"^\+: expected a LinearOperator, got int"),
        (lambda operator: operator - np.ones(2), "^-: expected a LinearOperator, got ndarray"),
        (lambda operator: stack([operator, 1]), "^stack: expected a LinearOperator, got int"),
        (lambda operator: np.ones(2) @ operator, "unsupported operand"),
        (lambda operator: np.ones(2) * operator, r"^\*: expected a real number, got ndarray"),
        (lambda operator: operator * "2", r"^\*: expected a real number, got str"),
        (lambda operator: 1j * operator, r"^\*: expected a real number, got complex"),
    ],
)
def test_operators_combine_with_operators_and_real_numbers_only(expression, message):
    with pytest.raises(TypeError, match=message):
        expression(identity(real(2)))


@pytest.mark.parametrize(
    ("domain", "codomain", "error", "message"),
    [
        (((2,), "int64"), real(2), TypeError, "domain: expected dtype float32 or .*, got int64"),
        (real(2), real(0), ValueError, r"range: expected at least one element, got shape \(0,\)"),
        (((4, 4), "complex64"), real(2), ValueError, r"domain: expected the shape .*got \(4, 4\)"),
        (real(2), real(2, dtype="float32"), TypeError, "precisions differ: domain is float64"),
    ],
)
def test_spaces_that_operators_do_not_have_are_refused(domain, codomain, error, message):
    with pytest.raises(error, match=message):
        LinearOperator(domain, codomain, lambda x: x, lambda y: y)
