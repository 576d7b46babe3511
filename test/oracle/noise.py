"""Random bits and noise of design rules 2 and 3, written from the rules with NumPy alone."""

import functools

import numpy as np

PERTURBATION, ROUNDING, DATA_ORDER, LOW_RANK_U, LOW_RANK_V = 0, 1, 2, 3, 4
ADAPTERS, STEP_SEEDS = 5, 6

F = np.float32
U = np.uint64


def philox(seed, c0, c1, c2, c3):
    """Philox4x32-10. Counter words may be arrays that broadcast; returns four uint32 arrays."""
    c = [np.asarray(x, U) for x in np.broadcast_arrays(c0, c1, c2, c3)]
    k0, k1 = seed & 0xFFFFFFFF, seed >> 32
    low = U(0xFFFFFFFF)
    for _ in range(10):
        p0 = c[0] * U(0xD2511F53)
        p1 = c[2] * U(0xCD9E8D57)
        c = [(p1 >> U(32)) ^ c[1] ^ U(k0), p1 & low, (p0 >> U(32)) ^ c[3] ^ U(k1), p0 & low]
        k0 = (k0 + 0x9E3779B9) & 0xFFFFFFFF
        k1 = (k1 + 0xBB67AE85) & 0xFFFFFFFF
    return [x.astype(np.uint32) for x in c]


def words(seed, row, column, tensor, purpose, direction=0):
    return philox(seed, column, row, tensor, purpose * 2**24 + direction)


def polynomial(coefficients, x):
    """Horner, every product and sum rounded to fp32."""
    value = F(float.fromhex(coefficients[0])) * x + F(float.fromhex(coefficients[1]))
    for c in coefficients[2:]:
        value = value * x + F(float.fromhex(c))
    return value


LOG = ["0x1.1b48a6p-4", "-0x1.e2e016p-4", "0x1.e64862p-4", "-0x1.fb4470p-4", "0x1.233378p-3",
       "-0x1.5562dep-3", "0x1.99a53ap-3", "-0x1.ffffeep-3", "0x1.555546p-2"]
SIN = ["0x1.4be98cp-13", "-0x1.32cb30p-8", "0x1.466bbcp-4", "-0x1.4abbcep-1", "-0x1.777a5cp-25"]
COS = ["-0x1.a10c68p-16", "0x1.e1e872p-11", "-0x1.55d3bcp-6", "0x1.03c1f0p-2", "-0x1.3bd3ccp+0",
       "0x1p+0"]


def natural_log(x):
    """x = 2^e * m with m in [sqrt(1/2), sqrt(2))."""
    half = np.int32(0x3F3504F3)
    bits = x.view(np.int32)
    e = (bits - half) >> 23
    t = (bits - (e << 23)).view(F) - F(1)
    k = e.astype(F)
    square = t * t
    low = polynomial(LOG, t) * t * square + k * F(float.fromhex("-0x1.bd0106p-13"))
    low = low - square * F(0.5)
    return (low + t) + k * F(float.fromhex("0x1.63p-1"))


def cos_sin_turns(n):
    """Cosine and sine of n / 2^24 turns."""
    n = n.astype(np.int32)
    quarter = (n + (1 << 21)) >> 22
    f = (n - (quarter << 22)).astype(F) * F(2.0**-22)
    z = f * f
    s = polynomial(SIN, z) * f + f * F(float.fromhex("0x1.921fb6p+0"))
    c = polynomial(COS, z)
    turn = quarter % 4
    cosine = np.choose(turn, [c, -s, -c, s])
    sine = np.choose(turn, [s, c, -s, -c])
    return cosine, sine


def box_muller(x0, x1):
    u = ((x0 >> 8) + 1).astype(F) * F(2.0**-24)
    r = np.sqrt(natural_log(u) * F(-2))
    cosine, sine = cos_sin_turns(x1 >> 8)
    return r * cosine, r * sine


def normals(seed, tensor, rows, columns, direction=0, purpose=PERTURBATION):
    """z of a whole tensor, fp32 [rows, columns]."""
    x = words(seed, np.arange(rows)[:, None], np.arange((columns + 3) // 4)[None, :], tensor,
              purpose, direction)
    z = np.stack([*box_muller(x[0], x[1]), *box_muller(x[2], x[3])], axis=-1)
    return z.reshape(rows, -1)[:, :columns]


def inverse_cholesky(thin):
    """R^-1 of A^T A = R^T R in fp64, every sum in ascending order."""
    n = thin.shape[1]
    g = np.zeros((n, n))
    for row in thin.astype(np.float64):
        g = g + np.outer(row, row)
    r, inverse = np.zeros((n, n)), np.zeros((n, n))
    for i in range(n):
        for j in range(i, n):
            total = g[i, j]
            for k in range(i):
                total = total - r[k, i] * r[k, j]
            r[i, j] = np.sqrt(total) if i == j else total / r[i, i]
    for j in range(n):
        inverse[j, j] = 1 / r[j, j]
        for i in range(j - 1, -1, -1):
            total = np.float64(0)
            for k in range(i + 1, j + 1):
                total = total + r[i, k] * inverse[k, j]
            inverse[i, j] = -total / r[i, i]
    return inverse


@functools.cache
def subspace(basis, rank, tensor, rows, columns):
    """SubZero's Gaussian factors of an interval, and what makes their columns orthonormal."""
    a = normals(basis, tensor, rows, rank, 0, LOW_RANK_U)
    b = normals(basis, tensor, columns, rank, 0, LOW_RANK_V)
    return a, b, inverse_cholesky(a), inverse_cholesky(b)


def subspace_core(seed, basis, rank, tensor, rows, columns, direction):
    """sqrt(m n / r) T_U Z T_V^T, sums in ascending order."""
    _, _, left, right = subspace(basis, rank, tensor, rows, columns)
    z = normals(seed, tensor, rank, rank, direction).astype(np.float64)
    half, core = np.zeros((rank, rank)), np.zeros((rank, rank))
    for l in range(rank):
        half = half + left[:, l:l + 1] * z[l]
    for l in range(rank):
        core = core + half[:, l:l + 1] * right[:, l]
    factor = np.sqrt(float(rows) * float(columns)) / np.sqrt(float(rank))
    return (factor * core).astype(F)


def low_rank(seed, basis, rank, tensor, rows, columns, direction=0, turned=False):
    """LOZO: U V^T, U of the step and direction, V of the basis, divided by the root of the rank.
    Turned (SubZero): U of the basis, too, times a core of the step."""
    u = normals(basis if turned else seed, tensor, rows, rank, 0 if turned else direction,
                LOW_RANK_U)
    if turned:
        core = subspace_core(seed, basis, rank, tensor, rows, columns, direction)
        whole = u
        u = whole[:, :1] * core[0]
        for l in range(1, rank):
            u = u + whole[:, l:l + 1] * core[l]
    v = normals(basis, tensor, columns, rank, 0, LOW_RANK_V) * (F(1) / np.sqrt(F(rank)))
    z = u[:, :1] * v[:, 0]
    for l in range(1, rank):
        z = z + u[:, l:l + 1] * v[:, l]
    return z


def signs(seed, tensor, rows, columns, direction=0):
    """Rademacher: bit (column mod 128) of the counter with column // 128; set is +1."""
    x = words(seed, np.arange(rows)[:, None], np.arange((columns + 127) // 128)[None, :], tensor,
              PERTURBATION, direction)
    bits = (np.stack(x, axis=-1)[..., None] >> np.arange(32, dtype=np.uint32)) & 1
    return np.where(bits == 1, F(1), F(-1)).reshape(rows, -1)[:, :columns]


def rounding_words(seed, tensor, rows, columns):
    """One uint32 per element: word (column mod 4) of purpose 1."""
    x = words(seed, np.arange(rows)[:, None], np.arange((columns + 3) // 4)[None, :], tensor,
              ROUNDING)
    return np.stack(x, axis=-1).reshape(rows, -1)[:, :columns]


def adapter_start(seed, tensor, rows, columns):
    """LoRA's A: uniform up to 1 / sqrt(columns), PEFT's bound, from purpose 5."""
    x = words(seed, np.arange(rows)[:, None], np.arange((columns + 3) // 4)[None, :], tensor,
              ADAPTERS)
    u = (np.stack(x, axis=-1).reshape(rows, -1)[:, :columns] >> 8).astype(F) * F(2.0**-24)
    return (F(2) * u - F(1)) / np.sqrt(F(columns))


def prefix_start(seed, tensor, rows, columns):
    """Keys or values of virtual tokens: normal, from purpose 5."""
    return F(0.02) * normals(seed, tensor, rows, columns, purpose=ADAPTERS)


def step_seed(run_seed, step):
    """A 53-bit output of purpose 6 under the run's seed."""
    x = philox(run_seed, step % 2**32, step >> 32, 0, STEP_SEEDS * 2**24)
    return int(x[0]) | (int(x[1]) % 2**21) << 32


class DataOrder:
    """Rows of step t: the t-th batch_size places of one shuffled epoch after another, ascending."""

    def __init__(self, run_seed, rows, batch_size):
        self.seed, self.rows, self.batch_size = run_seed, rows, batch_size
        self.epochs = {}

    def permutation(self, epoch):
        if epoch not in self.epochs:
            order = list(range(self.rows))
            for i in range(self.rows - 1, 0, -1):
                x = philox(self.seed, i, epoch % 2**32, epoch >> 32, DATA_ORDER * 2**24)
                j = ((int(x[0]) | int(x[1]) << 32) * (i + 1)) >> 64
                order[i], order[j] = order[j], order[i]
            self.epochs[epoch] = order
        return self.epochs[epoch]

    def batch(self, step):
        places = range((step - 1) * self.batch_size, step * self.batch_size)
        return sorted(self.permutation(p // self.rows)[p % self.rows] for p in places)
