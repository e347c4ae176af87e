import { describe, expect, test } from 'vitest'
import { pathKey } from '../../lib/parquet/schema.ts'
import { DROP, duckdb, fixture, mapStrings, pseudonym, REPLACE, type Row, run } from './helpers.ts'

const duck = duckdb()

const CODECS = ['none', 'snappy', 'gzip', 'zstd', 'brotli', 'lz4']

describe.each(['1', '2'])('pages of version %s', (version) => {
  test.each(CODECS)('a rewritten file is its input with the protected columns mapped: %s', async (codec) => {
    const input = fixture(`leak-v${version}-${codec}.parquet`)
    const { bytes, plan } = await run(input, { vin: REPLACE, mail: REPLACE })
    const expected = (await duck.rows(input)).map((row) => ({
      ...row,
      vin: mapStrings(row.vin, pseudonym),
      mail: mapStrings(row.mail, pseudonym),
    }))
    expect(expected).toHaveLength(2000)
    expect(await duck.rows(bytes)).toEqual(expected)
    const kept = ['none', 'snappy', 'gzip', 'zstd'].includes(codec)
    expect(plan.rowGroups[0]?.chunks.map((chunk) => chunk.action)).toEqual([
      kept ? 'copy' : 'recompress',
      'swap-dictionary',
      'swap-dictionary',
      ...(kept ? ['copy', 'copy'] : ['recompress', 'recompress']),
    ])
  })
})

test.each(['delta-v1.parquet', 'delta-v2.parquet'])(
  'columns without a dictionary are mapped, whatever their encoding: %s',
  async (name) => {
    const input = fixture(name)
    const { bytes, plan } = await run(input, { id: REPLACE, vin: REPLACE, mail: REPLACE, score: REPLACE })
    expect(plan.rowGroups[0]?.chunks.map((chunk) => chunk.action)).toEqual([
      'transcode',
      'transcode',
      'transcode',
      name === 'delta-v1.parquet' ? 'copy' : 'reencode',
      'transcode',
    ])
    const expected = (await duck.rows(input, 'id::VARCHAR AS id, vin, mail, note, score')).map((row) => ({
      ...(mapStrings({ ...row, score: String(row.score) }, pseudonym) as Row),
      note: row.note,
    }))
    expect(await duck.rows(bytes)).toEqual(expected)
  },
)

test('a map that answers null makes cells null, of required columns too', async () => {
  const input = fixture('leak-v1-snappy.parquet')
  const gone = (text: string) => (text.includes('7') ? null : pseudonym(text))
  const treatment = { ...REPLACE, nullable: true }
  const { bytes, written } = await run(
    input,
    { vin: treatment, mail: treatment },
    { replace: async (_, texts) => texts.map(gone) },
  )
  const expected = (await duck.rows(input)).map((row) => ({
    ...row,
    vin: mapStrings(row.vin, gone),
    mail: mapStrings(row.mail, gone),
  }))
  expect(await duck.rows(bytes)).toEqual(expected)
  const nulls = (name: 'vin' | 'mail') => expected.filter((row) => row[name] === null).length
  expect(written.columns[1]?.nulls).toBe(nulls('vin'))
  expect(written.columns[2]?.nulls).toBe(nulls('mail'))
  expect(nulls('mail')).toBeGreaterThan(100)
})

test('mode random asks for every cell, and equal cells get answers of their own', async () => {
  const input = fixture('leak-v1-snappy.parquet')
  let n = 0
  const { bytes, asked } = await run(
    input,
    { vin: { ...REPLACE, perCell: true }, mail: DROP },
    { replace: async (_, texts) => texts.map(() => `r${n++}`) },
  )
  const before = (await duck.rows(input)).map((row) => row.vin)
  const after = (await duck.rows(bytes)).map((row) => row.vin)
  const sent = before.filter((vin) => vin !== null && vin !== '')
  expect(asked.flatMap((call) => call.texts)).toEqual(sent)
  let k = 0
  expect(after).toEqual(before.map((vin) => (vin === null || vin === '' ? vin : `r${k++}`)))
  const [{ encodings } = {}] = await duck.query(
    `SELECT encodings FROM parquet_metadata('${duck.put(bytes)}') WHERE path_in_schema = 'vin'`,
  )
  expect(encodings).not.toContain('DICTIONARY')
})

test('null and empty are never sent, stay what they are, and a deterministic call holds no value twice', async () => {
  for (const name of ['leak-v1-none.parquet', 'delta-v2.parquet']) {
    const { bytes, asked } = await run(name, { vin: REPLACE })
    for (const { texts } of asked) {
      expect(texts).not.toContain('')
      expect(new Set(texts).size).toBe(texts.length)
    }
    const count = "count(*) FILTER (vin IS NULL) AS nulls, count(*) FILTER (vin = '') AS empty"
    const [before, after] = [await duck.rows(fixture(name), count), await duck.rows(bytes, count)]
    expect(after).toEqual(before)
    expect(before).not.toContainEqual({ nulls: '0', empty: '0' })
  }
})

describe.each(['nested-v1.parquet', 'nested-v2.parquet'])('nested columns: %s', (name) => {
  test('leaves of lists, structs and maps are mapped where they are, keys included', async () => {
    const input = fixture(name)
    const { bytes } = await run(input, {
      'tags.list.element': REPLACE,
      'person.name': { ...REPLACE, as: 's_name' },
      'person.home.street': REPLACE,
      'attrs.key_value.key': REPLACE,
      'orders.list.element.sku': REPLACE,
      'orders.list.element.lines.list.element': { ...REPLACE, perCell: true },
    })
    // Stamps of milliseconds and microseconds print alike; strings that are protected are those that begin so.
    const mapped = (await duck.rows(input)).map((row) => {
      const { name: old, home, ...person } = (row.person ?? {}) as Row & { home: Row }
      // An unsigned 32-bit integer becomes a long, which DuckDB prints as a string.
      const renamed = row.person && { s_name: old, ...person, home: { ...home, zip: String(home.zip) } }
      return mapStrings({ ...row, person: renamed }, (text) => (text.startsWith('plain-') ? pseudonym(text) : text))
    })
    expect(await duck.rows(bytes)).toEqual(mapped)
  })

  test('dropping every leaf of a struct drops it; a map cannot lose its keys alone', async () => {
    const { bytes } = await run(name, {
      'person.name': DROP,
      'person.age': DROP,
      'person.home.street': DROP,
      'person.home.zip': DROP,
      'orders.list.element.at': DROP,
      'tags.list.element': DROP,
    })
    const columns = await duck.query(`DESCRIBE SELECT * FROM read_parquet('${duck.put(bytes)}')`)
    expect(columns.map((column) => [column.column_name, column.column_type])).toEqual([
      ['grid', 'INTEGER[][]'],
      ['attrs', 'MAP(VARCHAR, BIGINT)'],
      ['orders', 'STRUCT(sku VARCHAR, lines VARCHAR[])[]'],
    ])
    expect(await duck.rows(bytes, 'grid, attrs')).toEqual(await duck.rows(fixture(name), 'grid, attrs'))
    await expect(run(name, { 'attrs.key_value.key': DROP })).rejects.toMatchObject({ code: 'config/invalid' })
  })

  test('a list whose elements are replaced can get a new name', async () => {
    const renames = new Map([[pathKey(['tags']), 's_tags']])
    const { bytes } = await run(name, { 'tags.list.element': REPLACE }, { renames })
    const expected = (await duck.rows(fixture(name), 'tags, grid')).map(({ tags, grid }) => ({
      s_tags: mapStrings(tags, pseudonym),
      grid,
    }))
    expect(await duck.rows(bytes, 's_tags, grid')).toEqual(expected)
  })

  test('keys of a map never become null', async () => {
    const treatment = { ...REPLACE, nullable: true }
    await expect(run(name, { 'attrs.key_value.key': treatment })).rejects.toMatchObject({ code: 'config/invalid' })
  })

  test('a map may turn elements of a list into nulls', async () => {
    const input = fixture(name)
    const gone = (text: string) => (text.endsWith('3') ? null : text)
    const { bytes } = await run(
      input,
      { 'tags.list.element': { ...REPLACE, nullable: true } },
      { replace: async (_, texts) => texts.map(gone) },
    )
    const expected = (await duck.rows(input, 'tags')).map((row) => mapStrings(row, gone))
    expect(await duck.rows(bytes, 'tags')).toEqual(expected)
  })
})

test('constants become columns where they are told, with one value or null for all rows', async () => {
  const { bytes, written } = await run(
    'leak-v1-zstd.parquet',
    { vin: DROP, mail: DROP, score: DROP },
    {
      constants: [
        { name: 'day', value: '2024-01-01', replaced: false, at: 0 },
        { name: 'region', value: null, replaced: false },
        { name: 's_customer', value: 'p.token', replaced: true },
      ],
    },
  )
  const rows = await duck.rows(bytes)
  expect(rows).toHaveLength(2000)
  expect(rows[1999]).toEqual({ day: '2024-01-01', id: '1999', note: 'note 4', region: null, s_customer: 'p.token' })
  const [day, , , region, customer] = written.columns
  expect(day).toMatchObject({ path: ['day'], values: 2000, nulls: 0, min: Buffer.from('2024-01-01') })
  expect(region).toMatchObject({ nulls: 2000 })
  expect(customer).toMatchObject({ replaced: true, nulls: 0 })
  expect(customer).not.toHaveProperty('min')
})

test('a file without rows stays one with the columns of the output', async () => {
  const { bytes, written } = await run('empty.parquet', { x: { ...REPLACE, as: 's_x' } })
  expect(written).toMatchObject({ rows: 0, splitOffsets: [] })
  expect(await duck.rows(bytes)).toEqual([])
  const columns = await duck.query(`DESCRIBE SELECT * FROM read_parquet('${duck.put(bytes)}')`)
  expect(columns.map((column) => column.column_name)).toEqual(['s_x', 'n'])
})

test('what DuckDB writes is rewritten alike: small last row group without a dictionary, nesting, decimals', async () => {
  const input = await duck.copy(
    `SELECT 'plain-' || (i % 50) AS vin, i AS n, (i / 3)::DECIMAL(25,3) AS d, ['plain-a' || i % 3, NULL] AS tags,
       CASE WHEN i % 5 > 0 THEN {a: 'plain-' || i % 9, b: i} END AS s FROM range(5003) t(i)`,
    'ROW_GROUP_SIZE 2048',
  )
  const { bytes } = await run(input, { vin: { ...REPLACE, as: 's_vin' }, 'tags.list.element': REPLACE, 's.a': REPLACE })
  const expected = (await duck.rows(input)).map(({ vin, ...row }) => ({
    s_vin: pseudonym(vin as string),
    ...(mapStrings(row, (text) => (text.startsWith('plain-') ? pseudonym(text) : text)) as Row),
  }))
  expect(await duck.rows(bytes)).toEqual(expected)
})

test('a failure of the map stops the rewrite and leaves nothing behind', async () => {
  const fails = async () => {
    throw new Error('service down')
  }
  await expect(run('leak-v1-snappy.parquet', { vin: REPLACE }, { replace: fails })).rejects.toThrow('service down')
  for (const answers of [[], [undefined], [null]])
    await expect(
      run('leak-v1-snappy.parquet', { mail: REPLACE }, { replace: async () => answers as unknown as string[] }),
    ).rejects.toMatchObject({ code: 'internal/bug' })
})

test('an abort ends the rewrite with the reason of the signal', async () => {
  const controller = new AbortController()
  const replace = async (_: unknown, texts: readonly string[]) => {
    controller.abort(new Error('told to stop'))
    return texts.map(pseudonym)
  }
  await expect(run('leak-v1-snappy.parquet', { vin: REPLACE }, { replace, signal: controller.signal })).rejects.toThrow(
    'told to stop',
  )
})
