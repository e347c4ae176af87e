"""Writes canonical-text.json, the texts that every engine of pseudolake must agree on: python3 canonical_text.py

Independent of the product: floats by exact rational search, dates by datetime, decimals by decimal, text by the codecs.
One vector a line: {"type", "input", "text"} or {"type", "input", "error"}. Forms of input:
  integer      decimal digits                        decimal   [unscaled digits, scale]
  float32/64   IEEE 754 bits, 8 / 16 hex digits      boolean   true | false
  date         days since 1970-01-01                 time      microseconds since midnight, digits
  timestamp    microseconds since 1970-01-01T00:00:00, digits; timestamptz the same, adjusted to UTC
  uuid, utf8   bytes in hex
"""
import json, math, os, random, struct
from datetime import date, datetime, timedelta
from decimal import Context, Decimal
from fractions import Fraction
from uuid import UUID

R = random.Random(20240229)
vectors = []


def add(type, input, text=None, error=None):
    vectors.append({'type': type, 'input': input, **({'text': text} if error is None else {'error': error})})


# --- floats -----------------------------------------------------------------------------------------------------------
def layout(negative, digits, point):
    """ECMA-262 6.1.6.1.20: digits d1..dk and n, the value being 0.d1..dk x 10^n."""
    k, n = len(digits), point
    if k <= n <= 21: s = digits + '0' * (n - k)
    elif 0 < n <= 21: s = digits[:n] + '.' + digits[n:]
    elif -6 < n <= 0: s = '0.' + '0' * -n + digits
    else: s = digits[0] + ('.' + digits[1:] if k > 1 else '') + 'e' + ('+' if n > 0 else '-') + str(abs(n - 1))
    return ('-' if negative else '') + s


def value_of(bits, mant, bias):
    e, f = bits >> mant, bits & ((1 << mant) - 1)
    return Fraction(f + (1 << mant if e else 0)) * Fraction(2) ** ((e or 1) - bias - mant)


def shortest(bits, mant, bias):
    """All candidates of each length tried in exact arithmetic; closest wins, then even."""
    x = value_of(bits, mant, bias)
    low, high = (x + value_of(bits - 1, mant, bias)) / 2, (x + value_of(bits + 1, mant, bias)) / 2
    inside = (lambda v: low <= v <= high) if bits % 2 == 0 else (lambda v: low < v < high)
    point = math.floor(math.log10(x.numerator) - math.log10(x.denominator)) + 1
    while x >= Fraction(10) ** point: point += 1
    while x < Fraction(10) ** (point - 1): point -= 1
    for k in range(1, 19):
        unit = Fraction(10) ** (point - k)
        base = math.floor(x / unit)
        good = [n for n in (base, base + 1) if inside(n * unit) and n > 0]
        if good:
            n = min(good, key=lambda n: (abs(n * unit - x), n % 2))
            d = str(n)
            return d.rstrip('0'), point + len(d) - k
    raise AssertionError(bits)


def float_vector(type, bits, width, mant, bias):
    sign, rest = bits >> (width - 1), bits & ((1 << (width - 1)) - 1)
    hex = f'{bits:0{width // 4}x}'
    if rest >> mant == (1 << (width - 1 - mant)) - 1: add(type, hex, error='not-finite')
    elif rest == 0: add(type, hex, '-0' if sign else '0')
    else: add(type, hex, layout(bool(sign), *shortest(rest, mant, bias)))
    if type == 'float64' and 'text' in vectors[-1]: assert float(vectors[-1]['text']) == struct.unpack('>d', bytes.fromhex(hex))[0]


def f32(bits): float_vector('float32', bits, 32, 23, 127)
def f64(bits): float_vector('float64', bits, 64, 52, 1023)
def b32(x): return struct.unpack('>I', struct.pack('>f', x))[0]
def b64(x): return struct.unpack('>Q', struct.pack('>d', x))[0]


plain = [0.0, -0.0, 1.0, -1.0, 0.1, -0.1, 0.5, 0.3, 1.5, 100.0, 123456.0, 1e7, 1e-6, 1e-7, 1e20, 1e21, 1e22, 3.4028234663852886e38, 16777216.0, 16777215.0,
         33554432.0, 2097152.25, 2097152.75, 4194304.5, 1048576.125, 0.1 + 0.2, 9007199254740992.0, 1 / 3, 2 / 3, 65504.0, 6.103515625e-05, 5.960464477539063e-08,
         1e10, 1e-10, 8589934592.0, 123456789.0, 0.000001, 0.0000012, 9.999999e20, float('inf'), float('-inf'), float('nan')]
for x in plain: f32(b32(x)); f64(b64(x))
for b in (1, 2, 3, 5, 0x7fffff, 0x800000, 0x800001, 0x7f7fffff, 0x80000001, 0x7fc00001, 0xffc00000): f32(b)
for e in range(0, 255, 5): f32(e << 23)  # powers of two: the gaps on both sides differ
for _ in range(150): f32(R.getrandbits(32))
for e in range(142, 160): f32((e << 23) | R.getrandbits(23))
for b in (1, 2, 0xfffffffffffff, 0x10000000000000, 0x7fefffffffffffff, 0x7ff8000000000001, b64(5e-324), b64(2.0 ** -44), b64(2251799813685248.25), b64(1e23), b64(9.5e-7)): f64(b)
for _ in range(60): f64(R.getrandbits(64))

# --- integers, decimals, booleans ----------------------------------------------------------------------------------------
for n in (0, 1, -1, 7, 42, 127, -128, 2**31 - 1, -2**31, 2**53, 2**53 + 1, -2**53 - 1, 2**63 - 1, -2**63, 2**64 - 1): add('integer', str(n), str(n))


def decimal_vector(u, s):
    add('decimal', [str(u), s], f'{Decimal(u).scaleb(-s, Context(prec=100)):f}')


for u, s in ((0, 0), (0, 2), (5, 0), (5, 1), (-5, 1), (5, 2), (-5, 2), (150, 2), (-150, 2), (100, 2), (1, 38), (10**38 - 1, 0), (-(10**38) + 1, 38), (10**38 - 1, 19), (123456789, 3)):
    decimal_vector(u, s)
for _ in range(25): decimal_vector(R.randrange(-10**R.randrange(1, 38), 10**R.randrange(1, 38)), R.randrange(0, 38))
add('decimal', ['1', -1], error='bad-scale')
add('boolean', True, 'true'); add('boolean', False, 'false')

# --- dates and times -----------------------------------------------------------------------------------------------------
EPOCH, DAY = date(1970, 1, 1), 86_400_000_000
FIRST, LAST = (date.min - EPOCH).days, (date.max - EPOCH).days
days = [0, 1, -1, FIRST, FIRST + 1, LAST, LAST - 1, 11016, 11015, 11017, -25509, -25508, 19782, 19783, 365, 364, -141428, -141427]
days += [R.randrange(FIRST, LAST + 1) for _ in range(60)]
for d in days: add('date', d, (EPOCH + timedelta(days=d)).isoformat())
for d in (FIRST - 1, LAST + 1, 2**31 - 1, -2**31): add('date', d, error='out-of-range')
for t in [0, 1, 999_999, 1_000_000, 59_999_999, 60_000_000, 3_599_999_999, 3_600_000_000, DAY - 1, 43_200_000_000] + [R.randrange(DAY) for _ in range(20)]:
    add('time', str(t), (datetime(2000, 1, 1) + timedelta(microseconds=t)).time().isoformat('microseconds'))
for t in (-1, DAY, 2**63 - 1): add('time', str(t), error='out-of-range')
stamps = [0, 1, -1, 999_999, -999_999, -1_000_000, -1_000_001, DAY, DAY - 1, -DAY, -DAY - 1, FIRST * DAY, (LAST + 1) * DAY - 1, 2**53 - 1, 2**53, 2**53 + 1, -2**53 - 1, 1_700_000_000_123_456]
stamps += [R.randrange(FIRST * DAY, (LAST + 1) * DAY) for _ in range(40)]
for i, t in enumerate(stamps):
    s = (datetime(1970, 1, 1) + timedelta(microseconds=t)).isoformat('T', 'microseconds')
    add('timestamp', str(t), s)
    if i < 30: add('timestamptz', str(t), s + 'Z')
for t in (FIRST * DAY - 1, (LAST + 1) * DAY, 2**63 - 1, -2**63):
    add('timestamp', str(t), error='out-of-range'); add('timestamptz', str(t), error='out-of-range')

# --- bytes -----------------------------------------------------------------------------------------------------------------
for _ in range(5): u = UUID(int=R.getrandbits(128)); add('uuid', u.hex, str(u))
for h in ('00' * 16, 'ff' * 16): add('uuid', h, str(UUID(h)))
for h in ('', '00' * 15, '00' * 17): add('uuid', h, error='bad-length')
texts = ['', ' ', 'a', 'WVWZZZ1JZXW000001', '\x00', 'a\x00b', '\t\r\n', 'None', 'null', '"', '\\', '\x7f', 'é', 'e\u0301', 'ß', 'ı', 'Ω', '中文', '\u200b', '\u202e', '\ufeff', '\ufeffa', 'a\ufeff',
         '\ufffd', '\uffff', '\U00010000', '\U0001f600', '\U0010ffff', '\u0080', '\u07ff', '\u0800', '\ud7ff', '\ue000', 'a' * 100, 'é' * 50]
for t in texts: add('utf8', t.encode().hex(), t)
for h in ('80', 'bf', 'c0af', 'c080', 'c1bf', 'c2', 'e08080', 'e09fbf', 'e0a0', 'eda080', 'edbfbf', 'f0808080', 'f08fbfbf', 'f0908080'[:6], 'f4908080', 'f5808080', 'f8888080', 'fe', 'ff', '61ff62', 'c3a9c3',
          'eda0bdedb880', '6180', 'e4b8'):
    try: bytes.fromhex(h).decode(); raise AssertionError(h)
    except UnicodeDecodeError: add('utf8', h, error='bad-utf8')

path = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'canonical-text.json')
with open(path, 'w') as f: f.write('[\n' + ',\n'.join(json.dumps(v) for v in vectors) + '\n]\n')
print(len(vectors), 'vectors')
