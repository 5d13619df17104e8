"""What CuPy 14 offers, as far as this project may use it: names and parameters.

A name that is missing here is refused, and so is a parameter. To use another one, see that CuPy has
it and add it; `test_standin_names.py` compares the tables with CuPy itself where that is installed.
"""

from __future__ import annotations


def _table(text: str) -> dict[str, tuple[str, ...]]:
    rows = (line.split() for line in text.strip().splitlines())
    return {name: tuple(parameters) for name, *parameters in rows}


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


UFUNCS = _names("""
    abs absolute add arccos arccosh arcsin arcsinh arctan arctan2 arctanh bitwise_and bitwise_or
    bitwise_xor cbrt ceil conj conjugate copysign cos cosh deg2rad degrees divide equal exp exp2
    expm1 fabs floor floor_divide fmax fmin fmod greater greater_equal heaviside hypot invert
    isfinite isinf isnan ldexp left_shift less less_equal log log10 log1p log2 logaddexp
    logical_and logical_not logical_or logical_xor maximum minimum mod modf multiply negative
    nextafter not_equal positive power rad2deg radians reciprocal remainder right_shift rint sign
    signbit sin sinh sqrt square subtract tan tanh true_divide trunc
""")
"""Universal functions; they take ``out`` and ``dtype``, and neither ``where`` nor ``casting``."""

SUMS = _names("add multiply")
"""Those that have ``reduce`` and ``accumulate``."""

SCATTERS = _names("add subtract maximum minimum")
"""Those that have ``at``."""

CREATION = _table("""
    arange start stop step dtype
    empty shape dtype order
    eye N M k dtype order
    full shape fill_value dtype order
    identity n dtype
    indices dimensions dtype
    linspace start stop num endpoint retstep dtype axis
    logspace start stop num endpoint base dtype axis
    ones shape dtype order
    tri N M k dtype
    zeros shape dtype order
""")
"""Functions that make an array of shapes and numbers."""

OF_SEQUENCES = _table("""
    column_stack tup
    concatenate tup axis out dtype casting
    dstack tup
    hstack tup dtype casting
    stack tup axis out dtype casting
    vstack tup dtype casting
""")
"""Functions whose first argument is a sequence of arrays."""

FUNCTIONS = _table("""
    all a axis out keepdims
    allclose a b rtol atol equal_nan
    amax a axis out keepdims
    amin a axis out keepdims
    angle z deg
    any a axis out keepdims
    argmax a axis dtype out keepdims
    argmin a axis dtype out keepdims
    argpartition a kth axis
    argsort a axis kind
    argwhere a
    array_equal a1 a2 equal_nan
    average a axis weights returned keepdims
    bincount x minlength
    broadcast_to array shape
    clip a a_min a_max out
    copy a order
    copyto dst src casting where
    count_nonzero a axis
    cross a b axisa axisb axisc axis
    cumprod a axis dtype out
    cumsum a axis dtype out
    diag v k
    diagonal a offset axis1 axis2
    diff a n axis prepend append
    digitize x bins right
    dot a b out
    empty_like prototype dtype order subok shape
    expand_dims a axis
    fill_diagonal a val wrap
    flatnonzero a
    flip a axis
    full_like a fill_value dtype order subok shape
    histogram x bins range density weights
    imag val
    inner a b
    interp x xp fp left right period
    isclose a b rtol atol equal_nan
    isin element test_elements assume_unique invert
    kron a b
    lexsort keys
    max a axis out keepdims
    mean a axis dtype out keepdims
    median a axis out overwrite_input keepdims
    min a axis out keepdims
    moveaxis a source destination
    nan_to_num x copy nan posinf neginf
    nanmax a axis out keepdims
    nanmean a axis dtype out keepdims
    nanmin a axis out keepdims
    nansum a axis dtype out keepdims
    nonzero a
    ones_like a dtype order subok shape
    outer a b out
    pad array pad_width mode constant_values
    partition a kth axis
    percentile a q axis out overwrite_input method keepdims
    prod a axis dtype out keepdims
    ptp a axis out keepdims
    quantile a q axis out overwrite_input method keepdims
    ravel a order
    real val
    repeat a repeats axis
    reshape a newshape order
    roll a shift axis
    rollaxis a axis start
    rot90 a k axes
    round a decimals out
    searchsorted a v side sorter
    sinc x
    sort a axis kind
    split ary indices_or_sections axis
    squeeze a axis
    std a axis dtype out ddof keepdims
    sum a axis dtype out keepdims
    swapaxes a axis1 axis2
    take a indices axis out
    take_along_axis a indices axis
    tensordot a b axes
    tile A reps
    trace a offset axis1 axis2 dtype out
    transpose a axes
    trapezoid y x dx axis
    tril m k
    triu m k
    unique ar return_index return_inverse return_counts axis equal_nan
    unravel_index indices dims order
    var a axis dtype out ddof keepdims
    vdot a b
    where condition x y
    zeros_like a dtype order subok shape
""")
"""Functions of arrays."""

VARIADIC = _names("""
    atleast_1d atleast_2d atleast_3d broadcast_arrays einsum ix_ matmul meshgrid
""")
"""Functions of any number of arrays."""

METADATA = _names("""
    can_cast broadcast_shapes iscomplexobj isrealobj isscalar ndim promote_types result_type shape
    shares_memory size
""")
"""Functions whose results are of the host: they look at shapes and dtypes only."""

SHARED = _names("""
    bool_ complex128 complex64 complexfloating dtype e finfo float16 float32 float64 floating
    generic iinfo inexact inf int16 int32 int64 int8 integer intp issubdtype nan newaxis number pi
    uint16 uint32 uint64 uint8
""")
"""What CuPy takes from NumPy as it is."""

FFT = _table("""
    fft a n axis norm
    fft2 a s axes norm
    fftfreq n d
    fftn a s axes norm
    fftshift x axes
    ifft a n axis norm
    ifft2 a s axes norm
    ifftn a s axes norm
    ifftshift x axes
    irfft a n axis norm
    irfft2 a s axes norm
    irfftn a s axes norm
    rfft a n axis norm
    rfft2 a s axes norm
    rfftfreq n d
    rfftn a s axes norm
""")
"""``cupy.fft``."""

SCIPY_FFT = {
    name: ("x", *rest, "overwrite_x")
    for name, (_, *rest) in FFT.items()
    if not name.endswith(("freq", "shift"))
} | _table("""
    next_fast_len target real
""")
"""``cupyx.scipy.fft``: no ``workers``."""

LINALG = _table("""
    cholesky a
    det a
    eigh a UPLO
    eigvalsh a UPLO
    inv a
    lstsq a b rcond
    norm x ord axis keepdims
    pinv a rcond
    qr a mode
    slogdet a
    solve a b
    svd a full_matrices compute_uv
""")
"""``cupy.linalg``."""

GENERATOR = _table("""
    exponential scale size
    gamma shape scale size
    integers low high size dtype endpoint
    poisson lam size
    random size dtype out
    standard_exponential size dtype method out
    standard_normal size dtype out
    uniform low high size dtype
""")
"""``cupy.random.Generator``: it has no ``normal``, ``permutation``, ``choice`` or ``spawn``."""

METHODS = _table("""
    all axis out keepdims
    any axis out keepdims
    argmax axis out dtype keepdims
    argmin axis out dtype keepdims
    argsort axis kind
    astype dtype order casting subok copy
    clip min max out
    conj
    conjugate
    copy order
    cumprod axis dtype out
    cumsum axis dtype out
    diagonal offset axis1 axis2
    dot b out
    fill value
    flatten order
    max axis out keepdims
    mean axis dtype out keepdims
    min axis out keepdims
    nonzero
    prod axis dtype out keepdims
    ravel order
    repeat repeats axis
    round decimals out
    searchsorted v side sorter
    sort axis kind
    squeeze axis
    std axis dtype out ddof keepdims
    sum axis dtype out keepdims
    swapaxes axis1 axis2
    take indices axis out
    trace offset axis1 axis2 dtype out
    var axis dtype out ddof keepdims
    view dtype
""")
"""Methods of arrays, but for ``reshape`` and ``transpose``, which take any number of arguments."""

ATTRIBUTES = _names("""
    T dtype flags imag itemsize mT nbytes ndim real shape size strides
""")
"""Attributes of arrays that the host knows, or that are views."""
