"""Inputs that are odd in the ways a lake's files are, the rows that a table made of them must have, and readers of such a table.

Independent of the product: inputs are written by PyArrow and DuckDB, expected rows are what PyArrow reads in the input, and the
texts of sensitive values are worked out here. A sensitive cell is {'$': text}, in a random column {'$': text, 'random': True}.
"""
import datetime as dt, decimal, json, math, os, struct, sys, urllib.parse, uuid, zlib
import duckdb, pyarrow as pa, pyarrow.parquet as pq

UTC = dt.timezone.utc
D = decimal.Decimal
decimal.getcontext().prec = 60
# Every sensitive value that is long enough holds this, text or not.
PLANT = b'PLANTE'
LONG = int.from_bytes(b'PLANTED!', 'little')
STAMP = int.from_bytes(b'PLANTE', 'little')
DECIMAL = int.from_bytes(b'PLANTED-number', 'big')
EPOCH = dt.datetime(1970, 1, 1)


# --- texts of sensitive values ---------------------------------------------------------------------------------------------
def float_text(value, single):
    """The fewest digits that read back, laid out as ECMAScript does."""
    if value == 0: return '-0' if math.copysign(1, value) < 0 else '0'
    def back(digits):
        if not single: return float(digits)
        try: return struct.unpack('<f', struct.pack('<f', float(digits)))[0]
        except OverflowError: return math.inf
    short = next(s for s in (f'{value:.{n}e}' for n in range(18)) if back(s) == value)
    mantissa, exponent = short.lstrip('-').split('e')
    digits, point = mantissa.replace('.', '').rstrip('0') or '0', int(exponent) + 1
    if len(digits) <= point <= 21: text = digits.ljust(point, '0')
    elif 0 < point <= 21: text = f'{digits[:point]}.{digits[point:]}'
    elif -6 < point <= 0: text = '0.' + '0' * -point + digits
    else: text = digits[0] + ('.' + digits[1:] if len(digits) > 1 else '') + f'e{point - 1:+d}'
    return '-' + text if value < 0 else text


def text_of(type, value):
    if isinstance(value, bool): return 'true' if value else 'false'
    if isinstance(value, float): return float_text(value, not pa.types.is_float64(type))
    if isinstance(value, decimal.Decimal): return f'{value:f}'
    if isinstance(value, dt.datetime):
        utc = value.tzinfo is not None
        plain = value.astimezone(UTC).replace(tzinfo=None) if utc else value
        return plain.isoformat('T', 'microseconds') + ('Z' if utc else '')
    if isinstance(value, dt.date): return value.isoformat()
    if isinstance(value, dt.time): return value.isoformat('microseconds')
    if isinstance(value, bytes): return value.decode()
    return str(value)


# --- cells as JSON -----------------------------------------------------------------------------------------------------------
def scalar(value):
    """Kinds that JSON has not, or not exactly, are marked: two engines must agree on the kind too."""
    if value is None or isinstance(value, (bool, str)): return value
    if isinstance(value, int): return f'int {value}'
    if isinstance(value, float): return f'float {value!r}'
    if isinstance(value, decimal.Decimal): return f'decimal {value:f}'
    if isinstance(value, dt.datetime): return 'stamp ' + text_of(None, value)
    if isinstance(value, (dt.date, dt.time)): return f'{type(value).__name__} {text_of(None, value)}'
    if isinstance(value, (bytes, bytearray)): return f'hex {bytes(value).hex()}'
    return str(value)


def entries(pairs): return {'map': sorted(([k, v] for k, v in pairs), key=json.dumps)}


def shown(type, value):
    """A cell of an Arrow table."""
    if value is None: return None
    if pa.types.is_list(type) or pa.types.is_large_list(type): return [shown(type.value_type, v) for v in value]
    if pa.types.is_struct(type): return {f.name: shown(f.type, value[f.name]) for f in type}
    if pa.types.is_map(type): return entries((shown(type.key_type, k), shown(type.item_type, v)) for k, v in value)
    return scalar(value)


def shown_rows(table, order='id'):
    columns = [[shown(f.type, v) for v in table.column(i).to_pylist()] for i, f in enumerate(table.schema)]
    rows = [dict(zip(table.schema.names, row)) for row in zip(*columns)]
    return sorted(rows, key=lambda row: int(row[order][4:]))


# --- expected rows -----------------------------------------------------------------------------------------------------------
def expected_cell(type, value, path, rules):
    if value is None: return None
    if pa.types.is_list(type) or pa.types.is_large_list(type):
        return [expected_cell(type.value_type, v, path, rules) for v in value]
    if pa.types.is_map(type):
        return entries((expected_cell(type.key_type, k, path + ('key',), rules), expected_cell(type.item_type, v, path + ('value',), rules)) for k, v in value)
    if pa.types.is_struct(type): return expected_struct(type, value, path, rules)
    rule = rules.get('.'.join(path))
    if not rule:
        if pa.types.is_uint64(type): return f'decimal {value}'
        return scalar(value)
    text = text_of(type, value)
    for step in rule.get('normalize', []): text = {'trim': str.strip, 'upper': str.upper}[step](text)
    if text in rule.get('null_values', []): return None
    if text == '': return ''
    return {'$': text, 'random': True} if rule['mode'] == 'random' else {'$': text}


def expected_struct(fields, value, path, rules):
    row = {}
    for field in fields:
        at = path + (field.name,)
        inside = {name: rule for name, rule in rules.items() if name.split('.')[:len(at)] == list(at)}
        own = [rule for name, rule in inside.items() if not has_field_below(field.type, name.split('.')[len(at):])]
        if any(rule['mode'] == 'drop' for rule in own): continue
        name = own[0].get('as', f's_{field.name}') if own else field.name
        row[name] = expected_cell(field.type, value[field.name], at, inside)
    return row


def has_field_below(type, words):
    """Whether the words end in a field with a name of its own, rather than in a list or map of this one."""
    if pa.types.is_list(type): return has_field_below(type.value_type, words)
    if not words: return False
    if pa.types.is_map(type): return has_field_below(type.item_type if words[0] == 'value' else type.key_type, words[1:])
    return True


def read_input(path):
    # Without partitioning: names of folders are for the product to understand.
    table = pq.ParquetFile(path, coerce_int96_timestamp_unit='us').read()
    fields = [f.with_type(pa.timestamp('us', 'UTC')) if f.name.startswith('int96') else f for f in table.schema]
    return table.cast(pa.schema(fields))


def input_files(folder): return sorted(os.path.join(at, f) for at, _, files in os.walk(folder) for f in files)


def expected_rows(folder, rules):
    rows = []
    for path in input_files(folder):
        table = read_input(path)
        for value in table.to_pylist():
            row = expected_struct(table.schema, value, (), rules)
            for part in os.path.relpath(path, folder).split('/')[:-1]:
                key, text = part.split('=')
                text = None if text == '__HIVE_DEFAULT_PARTITION__' else urllib.parse.unquote(text)
                if key in rules: row[f's_{key}'] = text if text is None else {'$': text}
                else: row[key] = text
            rows.append(row)
    return sorted(rows, key=lambda row: int(row['id'][4:]))


# --- inputs ------------------------------------------------------------------------------------------------------------------
ODD_TEXTS = ['', ' ', '  lead and trail  ', '\t', '\n', '\r\n', 'a\x00b', '\x00', '\x7f', '"', "'", "''", '\\', '\\N', '\\u0000', ',', ';', '%', '_', '*', '?', '#', '/', '../..', '=', 'a=b',
             'None', 'null', 'NULL', 'NaN', 'true', '0', '-0', '1e5', '007', '\u00e9', 'e\u0301', '\u00df', '\u0131\u0130iI', '\u03a9', '\u4e2d\u6587', '\u0627\u0644', '\u200b', '\u200f', '\u202e', '\u2028',
             '\ufeff', '\ufeffbom', 'bom\ufeff', '\ufffd', '\uffff', '\ud7ff', '\ue000', '\U00010000', '\U0001f600', '\U0001f468\u200d\U0001f469\u200d\U0001f467', '\U0010ffff', '\u0080', '\u07ff', '\u0800',
             'x' * 1000, '\U0001f600' * 300, '${jndi:x}', '<script>', '; drop table', '{"a":1}', 'p2.', 'p2.abcd.AAAA']


def stamps(n, ns=1000):
    """Microseconds since 1970, on both sides of it."""
    some = [0, 1, -1, 999_999, 1_700_000_000_123_456, -5_000_000_000_000_001, 951_782_400_000_000, 4_102_444_799_999_999]
    return [some[i % len(some)] // ns * ns if i < 64 else i * 1_000_000_000 for i in range(n)]


def cycled(values, n, nulls=7):
    return [None if nulls and i % nulls == 3 else values[i % len(values)] for i in range(n)]


def moments(n, ms=False): return [EPOCH + dt.timedelta(microseconds=m) for m in stamps(n, 1000 if ms else 1)]


def scalars(n):
    """A column of each type, with nulls: name → array. None of these is long enough to be planted."""
    seconds = [dt.time(0), dt.time(23, 59, 59), dt.time(12, 34, 56)]
    days = [dt.date(1970, 1, 1), dt.date(1, 1, 1), dt.date(9999, 12, 31), dt.date(1582, 10, 4), dt.date(2000, 2, 29), dt.date(1969, 12, 31)]
    made = {
        'bool': ([True, False], pa.bool_()),
        'i8': ([0, -128, 127], pa.int8()), 'i16': ([0, -32768, 32767], pa.int16()), 'i32': ([0, -2**31, 2**31 - 1, 5], pa.int32()),
        'i64': ([0, -2**63, 2**63 - 1, 2**53 + 1], pa.int64()),
        'u8': ([0, 255], pa.uint8()), 'u16': ([0, 65535], pa.uint16()), 'u32': ([0, 2**32 - 1, 2**31], pa.uint32()), 'u64': ([0, 2**64 - 1, 2**63, 7], pa.uint64()),
        'f16': ([0.5, -2.0, 65504.0, 2.0**-24, -0.0], pa.float16()), 'f32': ([0.1, -1.5, 16777216.0, 1e-7, 3.4028234663852886e38, -0.0], pa.float32()),
        'f64': ([0.1, -1.5, 1e21, 1e-7, 5e-324, 123456789.125, -0.0, 1e20], pa.float64()),
        'dec4': ([D('1.50'), D('-99.99'), D('0.00')], pa.decimal128(4, 2)), 'dec9': ([D('1234567.89'), D('-0.01')], pa.decimal128(9, 2)),
        'dec18': ([D('12345678901234.5678'), D('-0.0001')], pa.decimal128(18, 4)), 'dec20': ([D('12345678901234567890'), D('-1')], pa.decimal128(20, 0)),
        'dec38': ([D('1234567890123456789012345678.0123456789'), D('-9999999999999999999999999999.9999999999')], pa.decimal128(38, 10)),
        'day': (days, pa.date32()),
        'ms': (moments(n, True), pa.timestamp('ms')), 'us': (moments(n), pa.timestamp('us')), 'ns': (moments(n), pa.timestamp('ns')),
        'ms_utc': (moments(n, True), pa.timestamp('ms', 'UTC')), 'us_utc': (moments(n), pa.timestamp('us', 'Europe/Berlin')), 'ns_utc': (moments(n), pa.timestamp('ns', 'UTC')),
        't_ms': (seconds, pa.time32('ms')), 't_us': (seconds + [dt.time(1, 2, 3, 456789)], pa.time64('us')), 't_ns': (seconds, pa.time64('ns')),
        'uuid': ([uuid.UUID(int=0).bytes, uuid.UUID(int=2**128 - 1).bytes, uuid.UUID(int=3**80).bytes], pa.uuid()),
        'str': (['', 'a', '\U0001f600', 'z' * 40, 'b\u0301'], pa.string()),
    }
    return {name: pa.array(cycled(values, n), type) for name, (values, type) in made.items()}


def copied_only(n):
    """Types whose values have no canonical text, or that would not be copied as they are."""
    return {'bin': pa.array(cycled([b'', b'\x00', b'\xff\xfe', b'text', bytes(range(256))], n), pa.binary()), 'fix': pa.array(cycled([b'\x00' * 5, b'\xff' * 5], n), pa.binary(5)),
            'nothing': pa.nulls(n), 'json': pa.array(cycled(['{"a": [1, null]}', '1', '"x"'], n), pa.json_()),
            'nan': pa.array(cycled([float('nan'), 1.5, float('inf'), float('-inf')], n), pa.float64())}


def write(path, columns, **options):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    table = columns if isinstance(columns, pa.Table) else pa.table(columns)
    pq.write_table(table, path, **{'row_group_size': 50, **options})


def planted(i, n=40): return f'PLANTED-{i % n}-\u00e9' if i % 6 else (None if i % 12 else '')


DET = {'mode': 'deterministic'}


def make(root):
    """Writes the inputs below `root`, a folder a case. @returns case → its rules"""
    cases = {}

    def case(name, rules): cases[name] = rules; return os.path.join(root, name)

    n = 200
    ids = pa.array(range(n), pa.int64())
    vins = pa.array([planted(i) for i in range(n)])
    timeless = {k: v for k, v in scalars(n).items() if not k.startswith('t_')}
    times = {k: v for k, v in scalars(n).items() if k.startswith('t_')}

    at = case('types', {'vin': DET})
    write(f'{at}/a.parquet', {'id': ids, 'vin': vins, **timeless, **copied_only(n)}, store_decimal_as_integer=True)
    write(f'{at}/b.parquet', {'id': pa.array(range(n, 2 * n)), 'vin': vins, **timeless, **copied_only(n)}, use_dictionary=False, compression='zstd')
    at = case('pages', {'vin': DET})
    delta = {k: v for k, v in timeless.items() if k in ('i32', 'i64', 'us_utc')}
    write(f'{at}/a.parquet', {'id': ids, 'vin': vins, **timeless}, use_dictionary=False, data_page_version='2.0')
    write(f'{at}/b.parquet', {'id': pa.array(range(n, 2 * n)), 'vin': vins, **timeless}, use_dictionary=False, data_page_version='2.0', compression='none', column_encoding={**dict.fromkeys(delta, 'DELTA_BINARY_PACKED'), 'vin': 'DELTA_BYTE_ARRAY', 'str': 'DELTA_BYTE_ARRAY', 'f64': 'BYTE_STREAM_SPLIT'})
    at = case('times', {'vin': DET})
    write(f'{at}/a.parquet', {'id': ids, 'vin': vins, **times})
    at = case('int96', {'vin': DET, 'int96s': DET})
    write(f'{at}/a.parquet', {'id': ids, 'vin': vins, 'int96': pa.array(cycled(moments(n), n), pa.timestamp('ns')), 'int96s': pa.array(cycled(moments(n), n), pa.timestamp('ns'))}, use_deprecated_int96_timestamps=True)

    sensitive = {**timeless, **times,
                 'long': pa.array(cycled([LONG, -LONG, 1], n), pa.int64()), 'stamp': pa.array(cycled([STAMP, STAMP + 2**48 * 3], n), pa.timestamp('us', 'UTC')),
                 'number': pa.array(cycled([D(DECIMAL).scaleb(-3), D(-5)], n), pa.decimal128(38, 3)), 'double': pa.array(cycled([struct.unpack('<d', b'PLANTED!')[0], 1.5], n)),
                 'guid': pa.array(cycled([b'PLANTED-uuid-16b', b'\x00' * 16], n), pa.uuid()), 'blob': pa.array(cycled([b'PLANTED \xc3\xa9', b''], n), pa.binary()),
                 'fixed': pa.array(cycled([b'PLANTED.', b'PLANTED!'], n), pa.binary(8)), 'js': pa.array(cycled(['{"a": "PLANTED"}', '1'], n), pa.json_())}
    at = case('texts', {name: DET for name in sensitive})
    write(f'{at}/a.parquet', {'id': ids, **sensitive}, compression='none', write_page_index=True)
    # Each dictionary of one file is pages of values in the other.
    write(f'{at}/b.parquet', {'id': pa.array(range(n, 2 * n)), **sensitive}, use_dictionary=False, compression='none', store_decimal_as_integer=True)

    name = pa.struct([('name', pa.string()), ('age', pa.int32())])
    trip = pa.struct([('vin', pa.string()), ('km', pa.decimal128(9, 1)), ('stops', pa.list_(pa.string()))])
    nested = {
        'id': ids,
        'person': pa.array([None if i % 5 == 2 else {'name': planted(i), 'age': None if i % 3 else i} for i in range(n)], name),
        'tags': pa.array([[None, [], [None], [planted(i)], ['', planted(i + 1), None, planted(i)]][i % 5] for i in range(n)], pa.list_(pa.string())),
        'trips': pa.array([[None, [], [None], [{'vin': planted(i), 'km': D(i), 'stops': None}], [{'vin': planted(j), 'km': None, 'stops': [['a'], [], [None, 'b']][j % 3]} for j in range(i % 4)]][i % 5] for i in range(n)], pa.list_(trip)),
        'attrs': pa.array([[None, [], [('k', None)], [(f'k{i}', planted(i)), ('', planted(1))]][i % 4] for i in range(n)], pa.map_(pa.string(), pa.string())),
        'codes': pa.array([[None, [], [(f'PLANTED-{i}', [1, None, i])]][i % 3] for i in range(n)], pa.map_(pa.string(), pa.list_(pa.int32()))),
        'deep': pa.array([[None, [], [[]], [[None, {'a': {'vin': planted(i), 'at': EPOCH}}], None], [[{'a': None}]]][i % 5] for i in range(n)], pa.list_(pa.list_(pa.struct([('a', pa.struct([('vin', pa.string()), ('at', pa.timestamp('ms'))]))])))),
        'plain': pa.array([[None, {'l': []}, {'l': [i, None]}][i % 3] for i in range(n)], pa.struct([('l', pa.list_(pa.uint32()))])),
    }
    rules = {'person.name': DET, 'tags': DET, 'trips.vin': {**DET, 'as': 'car'}, 'attrs.value': DET, 'codes.key': DET, 'deep.a.vin': DET}
    at = case('nested', rules)
    write(f'{at}/a.parquet', nested)
    write(f'{at}/b.parquet', {**nested, 'id': pa.array(range(n, 2 * n))}, use_dictionary=False, data_page_version='2.0', compression='gzip', data_page_size=64)
    write(f'{at}/c.parquet', {**nested, 'id': pa.array(range(2 * n, 3 * n))}, use_compliant_nested_type=False, compression='none')

    at = case('strings', {'vin': DET})
    texts = ODD_TEXTS * 2
    write(f'{at}/a.parquet', {'id': pa.array(range(len(texts))), 'vin': texts, 'copy': texts, 'o"d.d na`me \u00e9': texts})

    at = case('required', {'vin': DET, 'person.vin': DET, 'tags': {'mode': 'deterministic', 'null_values': ['unknown']}, 'nullable': {'mode': 'deterministic', 'null_values': ['unknown']}})
    some = [f'PLANTED-{i % 9}-\u00e9' if i % 9 else 'unknown' for i in range(n)]
    req = lambda name, type: pa.field(name, type, nullable=False)
    schema = pa.schema([req('id', pa.int64()), req('vin', pa.string()), req('person', pa.struct([req('vin', pa.string()), req('n', pa.int32())])), req('tags', pa.list_(req('element', pa.string()))), req('nullable', pa.string()), req('day', pa.date32()), req('u', pa.uint64())])
    write(f'{at}/a.parquet', pa.table({'id': ids, 'vin': some, 'person': [{'vin': v, 'n': i} for i, v in enumerate(some)], 'tags': [[v] * (i % 3) for i, v in enumerate(some)], 'nullable': some, 'day': [dt.date(2020, 1, 1)] * n, 'u': list(range(n))}, schema=schema))

    at = case('wide', {f'c{i}': DET for i in range(0, 200, 20)})
    write(f'{at}/a.parquet', {'id': pa.array(range(60)), **{f'c{c}': [planted(r + c) for r in range(60)] if c % 20 == 0 else (pa.array([r * c for r in range(60)], pa.int32()) if c % 2 else [f'v{r % 7}' for r in range(60)]) for c in range(200)}})

    at = case('empty', {'vin': DET})
    write(f'{at}/a.parquet', pa.table({'id': ids, 'vin': vins, **timeless}).slice(0, 0))

    at = case('hive', {'vin': DET, 'owner': DET})
    for i, part in enumerate(['country=DE/owner=PLANTED%2FA', 'country=FR/owner=PLANTED%20B', 'country=__HIVE_DEFAULT_PARTITION__/owner=__HIVE_DEFAULT_PARTITION__']):
        write(f'{at}/{part}/x.parquet', {'id': pa.array(range(i * 10, i * 10 + 10)), 'vin': [planted(j) for j in range(10)]})

    at = case('modes', {'vin': {'mode': 'random'}, 'ids': {'mode': 'random'}, 'note': {'mode': 'drop'}, 'person.note': {'mode': 'drop'}, 'tidy': {'mode': 'deterministic', 'normalize': ['trim', 'upper'], 'null_values': ['N/A']}})
    write(f'{at}/a.parquet', {'id': ids, 'vin': vins, 'ids': pa.array([[None, [], ['PLANTED', None, 'PLANTED']][i % 3] for i in range(n)], pa.list_(pa.string())), 'note': ['PLANTED'] * n, 'person': [{'note': 'PLANTED', 'n': i} for i in range(n)], 'tidy': [[' PLANTED ', 'planted', 'n/a', '  ', None][i % 5] for i in range(n)]})

    m = 1000
    at = case('groups', {'vin': DET, 'code': DET})
    for k, options in enumerate([dict(row_group_size=10), dict(row_group_size=100, compression={'id': 'none', 'vin': 'gzip', 'code': 'zstd', 'word': 'brotli', 'at': 'lz4'}), dict(row_group_size=500, data_page_size=200, dictionary_pagesize_limit=300, write_batch_size=20, write_page_index=True, write_page_checksum=True, bloom_filter_options={'vin': True})]):
        rows = range(k * m, (k + 1) * m)
        write(f'{at}/{k}.parquet', {'id': pa.array(rows, pa.int64()), 'vin': [f'PLANTED-{i % 300}' for i in rows], 'code': pa.array([LONG + i for i in rows], pa.int64()), 'word': [f'{i // 100:04d}' for i in rows], 'at': pa.array([dt.datetime(2020, 1, 1) + dt.timedelta(minutes=i) for i in rows], pa.timestamp('us', 'UTC'))}, **options)

    # What old JavaScript reads: flat, snappy, at most 256 values in a dictionary.
    at = case('flat', {'vin': DET})
    write(f'{at}/a.parquet', {'id': pa.array(range(n), pa.int32()), 'vin': [f'PLANTED-{i % 50}' for i in range(n)], 'word': pa.array(cycled(['a', 'b', '\u00e9'], n)), 'yes': pa.array([i % 3 == 0 for i in range(n)]), 'f': pa.array([i / 4 for i in range(n)])}, version='1.0')

    at = case('duck', {'vin': DET, 'kind': DET, 'info.vin': DET, 'bag.value': DET, 'list': DET})
    os.makedirs(at)
    duckdb.execute(f"""
      set timezone = 'UTC'; set threads = 1; create type kinds as enum ('PLANTED-x', 'PLANTED-y');
      copy (select i as id, case when i % 7 = 0 then null else 'PLANTED-' || (i % 50) end as vin, (case when i % 2 = 0 then 'PLANTED-x' else 'PLANTED-y' end)::kinds as kind,
        (i % 100)::tinyint as i8, i::utinyint as u8, i::usmallint as u16, (4294967295 - i)::uinteger as u32, (18446744073709551615 - i)::ubigint as u64,
        (i / 7)::float as f, i / 7 as d, (i - 50)::decimal(4, 1) as d4, i::decimal(9, 2) as d9, (i * -1.5)::decimal(18, 3) as d18, (i * 12345678901234567::hugeint)::decimal(38, 5) as d38,
        i % 2 = 0 as b, date '2000-01-01' - i::int as day, timestamp '2020-01-01 00:00:00.123456' + interval (i) hour as ts, timestamptz '2020-01-01 00:00:00+02' as tz, (timestamp '1969-12-31 23:59:59.999')::timestamp_ms as tms,
        (timestamp '2020-01-01 00:00:00.123456')::timestamp_ns as tns, md5(i::varchar)::uuid as u, 'ab'::blob || '\\x00\\xFF'::blob as bin, '{{"k": 1}}'::json as js,
        {{'vin': 'PLANTED-' || i, 'n': [i, null]}} as info, map {{'k' || i: 'PLANTED', 'n': null}} as bag, [null, '', 'PLANTED-' || (i % 3)] as list, [{{'a': i}}, null] as structs
        from range(250) r(i)) to '{at}/a.parquet' (format parquet, row_group_size 100)""")
    return cases


# --- readers of a table ----------------------------------------------------------------------------------------------------------
def iceberg_duck():
    con = duckdb.connect(config={'threads': 2, 'autoinstall_known_extensions': 'false'})
    home = os.path.join(os.path.dirname(sys.prefix), 'duckdb')
    for name in ('avro', 'httpfs', 'iceberg'): con.execute(f"load '{home}/{name}.duckdb_extension'")
    con.execute("set timezone = 'UTC'")
    return con


def latest(location):
    files = [f for f in os.listdir(f'{location}/metadata') if f.endswith('.metadata.json')]
    return f"{location}/metadata/{max(files, key=lambda f: int(f[1:].split('.')[0]))}"


def static_table(location):
    from pyiceberg.table import StaticTable
    return StaticTable.from_metadata(latest(location))


def filters(folder):
    """Per column of a plain type that is copied: (column, operator, value, rows of the input for which it holds)."""
    tables = [read_input(f) for f in input_files(folder)]
    found = []
    for field in tables[0].schema:
        t = field.type
        if pa.types.is_nested(t) or pa.types.is_null(t) or pa.types.is_binary(t) or pa.types.is_fixed_size_binary(t) or field.name in ('vin', 'code', 'kind', 'json', 'js'): continue
        values = [v for table in tables for v in table.column(field.name).to_pylist()]
        here = [v for v in values if v is not None and v == v]
        # The bounds themselves, where pruning that is off by a little loses rows, and something between them.
        asked = [('=', here[len(here) // 2]), ('<=', min(here)), ('>=', max(here))]
        for operator, value in asked[:1] if isinstance(here[0], (bool, uuid.UUID)) else asked:
            holds = {'=': value.__eq__, '<=': value.__ge__, '>=': value.__le__}[operator]
            if operator == '>=' and len(here) < sum(v is not None for v in values): continue  # Where NaN stands, engines differ.
            found.append((field.name, operator, D(value) if pa.types.is_uint64(t) else value, sum(holds(v) for v in here)))
        found.append((field.name, 'is null', None, sum(v is None for v in values)))
    return found


def described(column, operator, value): return f'{column} {operator} {scalar(value)}'


# --- bytes of a table -------------------------------------------------------------------------------------------------------------
def varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128: return value, at


def zigzag(data, at):
    value, at = varint(data, at)
    return (value >> 1) ^ -(value & 1), at


def thrift(data, at):
    """A struct of the compact protocol as {field id: value}."""
    def read(kind, at):
        if kind in (1, 2): return kind == 1, at
        if kind == 3: return data[at], at + 1
        if kind in (4, 5, 6): return zigzag(data, at)
        if kind == 7: return data[at:at + 8], at + 8
        if kind == 8:
            size, at = varint(data, at)
            return data[at:at + size], at + size
        if kind == 12: return thrift(data, at)
        raise ValueError(f'thrift type {kind} in a page header')
    fields, last = {}, 0
    while data[at] != 0:
        delta, kind = data[at] >> 4, data[at] & 15
        at += 1
        if delta == 0: last, at = zigzag(data, at)
        else: last += delta
        fields[last], at = read(kind, at)
    return fields, at + 1


def unpacked_pages(path):
    """Every page of a Parquet file, decompressed. Fails where a byte before the footer belongs to none, or to something we don't write."""
    with open(path, 'rb') as f: data = f.read()
    meta = pq.read_metadata(path)
    spans = []
    for group in range(meta.num_row_groups):
        if meta.row_group(group).num_rows == 0: continue
        for column in range(meta.num_columns):
            chunk = meta.row_group(group).column(column)
            start = min(o for o in (chunk.dictionary_page_offset, chunk.data_page_offset) if o is not None)
            spans.append((start, start + chunk.total_compressed_size, chunk.compression))
    parts = []
    for start, end, codec in spans:
        at = start
        while at < end:
            header, body = thrift(data, at)
            at = body + header[3]
            levels, packed = b'', data[body:at]
            if 8 in header:
                size = header[8][5] + header[8][6]
                levels, packed = packed[:size], packed[size:]
                if header[8].get(7, True) is False: codec_here = 'UNCOMPRESSED'
                else: codec_here = codec
            else: codec_here = codec
            size = header[2] - len(levels)
            if codec_here == 'UNCOMPRESSED' or not packed: parts.append(packed)
            else: parts.append(pa.Codec({'LZ4': 'lz4_raw'}.get(codec_here, codec_here.lower())).decompress(packed, size).to_pybytes())
        assert at == end, 'a page reaches over the end of its chunk'
    return parts, sorted((s, e) for s, e, _ in spans), data


def gaps(spans, data):
    """Bytes of the file that are neither magic, page nor footer."""
    footer = len(data) - 8 - int.from_bytes(data[-8:-4], 'little')
    found, at = [], 4
    for start, end in spans + [(footer, footer)]:
        if start > at: found.append((at, start))
        at = max(at, end)
    return found


def avro_blocks(path):
    with open(path, 'rb') as f: data = f.read()
    assert data[:4] == b'Obj\x01'
    at, meta = 4, {}
    while True:
        count, at = zigzag(data, at)
        if count == 0: break
        if count < 0: _, at = zigzag(data, at)
        for _ in range(abs(count)):
            size, at = zigzag(data, at); key = data[at:at + size]; at += size
            size, at = zigzag(data, at); meta[key] = data[at:at + size]; at += size
    at += 16
    blocks = []
    while at < len(data):
        _, at = zigzag(data, at)
        size, at = zigzag(data, at)
        block, at = data[at:at + size], at + size + 16
        blocks.append({b'null': lambda b: b, b'deflate': lambda b: zlib.decompress(b, -15)}[meta.get(b'avro.codec', b'null')](block))
    return blocks + [data]


def holes(path):
    """Bytes of a Parquet file that are neither page nor footer."""
    _, spans, data = unpacked_pages(path)
    return gaps(spans, data)


def needles():
    numbers = [str(LONG), str(LONG)[:12], str(DECIMAL)[:12], str(uuid.UUID(bytes=b'PLANTED-uuid-16b')), repr(struct.unpack('<d', b'PLANTED!')[0])[:12]]
    return [PLANT, PLANT.lower(), PLANT[::-1], PLANT.hex().encode(), *(n.encode() for n in numbers)]


def findings(folder):
    """File → how often something planted is in it, files of every kind taken apart first."""
    found, looked = {}, 0
    for path in input_files(folder):
        if path.endswith('.parquet'):
            parts, spans, data = unpacked_pages(path)
            parts = parts + [data]
        elif path.endswith('.avro'): parts = avro_blocks(path)
        else:
            with open(path, 'rb') as f: parts = [f.read()]
        looked += sum(map(len, parts))
        count = sum(part.count(needle) for part in parts for needle in needles()) + sum(path.encode().count(n) for n in needles()[:1] if n in os.path.relpath(path, folder).encode())
        if count: found[os.path.relpath(path, folder)] = count
    return found, looked


def iceberg_filter(column, operator, value):
    from pyiceberg.expressions import EqualTo, GreaterThanOrEqual, IsNull, LessThanOrEqual
    if operator == 'is null': return IsNull(column)
    return {'=': EqualTo, '<=': LessThanOrEqual, '>=': GreaterThanOrEqual}[operator](column, value)


def spark_shown(type, value):
    """A cell of a row that Spark collected; its timestamps are naive, in the zone of the process."""
    if value is None: return None
    kind = type.typeName()
    if kind == 'struct': return {f.name: spark_shown(f.dataType, value[f.name]) for f in type.fields}
    if kind == 'map': return entries((spark_shown(type.keyType, k), spark_shown(type.valueType, v)) for k, v in value.items())
    if kind == 'array': return [spark_shown(type.elementType, v) for v in value]
    if kind == 'decimal':
        # 1E-10 arrives as 1.00E-10: the digits behind the point are the type's to say.
        exact = value.quantize(D(1).scaleb(-type.scale))
        return scalar(exact if exact == value else value)
    return scalar(value)


def spark_filter(types, column, operator, value):
    from pyspark.sql import functions as F
    if operator == 'is null': return F.col(column).isNull()
    literal = F.lit(str(value) if isinstance(value, uuid.UUID) else value).cast(types[column])
    return {'=': F.col(column) == literal, '<=': F.col(column) <= literal, '>=': F.col(column) >= literal}[operator]


# --- writing by turns ----------------------------------------------------------------------------------------------------------------
def turn(folder, name, ids):
    """A file of the flat kind with these ids."""
    write(f'{folder}/{name}.parquet', {'id': pa.array(ids, pa.int32()), 'vin': [f'PLANTED-{i % 50}' for i in ids], 'word': [name for _ in ids]})


def batch(node, program, config):
    """One run of the product as a process. @returns its report"""
    import subprocess
    done = subprocess.run([node, program, 'batch', '--config', config, '--json', '--quiet'], capture_output=True, text=True)
    if done.returncode != 0: raise RuntimeError(f'batch ended with {done.returncode}: {done.stdout}{done.stderr}')
    return json.loads(done.stdout)


def iceberg_writable(location):
    """The table for PyIceberg to commit to, the way a file-system catalog does: the next version, then the hint."""
    from pyiceberg.catalog.noop import NoopCatalog
    from pyiceberg.io.pyarrow import PyArrowFileIO
    from pyiceberg.serializers import ToOutputFile
    from pyiceberg.table import CommitTableResponse, Table
    from pyiceberg.table.update import update_table_metadata

    class Files(NoopCatalog):
        def commit_table(self, table, requirements, updates):
            metadata = update_table_metadata(table.metadata, updates)
            version = int(os.path.basename(latest(location))[1:].split('.')[0]) + 1
            path = f'{location}/metadata/v{version}.metadata.json'
            ToOutputFile.table_metadata(metadata, PyArrowFileIO().new_output(path))
            with open(f'{location}/metadata/version-hint.text', 'w') as hint: hint.write(str(version))
            return CommitTableResponse(metadata=metadata, metadata_location=path)

    return Table(('odd', 'turns'), static_table(location).metadata, latest(location), PyArrowFileIO(), Files('files'))
