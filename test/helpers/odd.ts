/**
 * Tables that our batch run made of odd inputs, and the rows that they must have. The inputs, the rows and the texts of sensitive
 * cells are odd.py's; what is ours alone is the run, and the keyring that leads from a pseudonym back to its text.
 */
import { randomBytes } from 'node:crypto'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parquetWriteBuffer } from 'hyparquet-writer'
import { runCli } from '../../cli/run.ts'
import { systemClock } from '../../lib/core/clock.ts'
import { type Keyring, openKeyring } from '../../lib/crypto/keyring.ts'
import { nobleKernel } from '../../lib/crypto/noble.ts'
import { createKeyring } from '../../service/keys/create.ts'
import { loadKeyring, saveKeyring } from '../../service/keys/file.ts'
import { pseudonymize, reidentify } from '../../service/operations/operations.ts'
import { pyiceberg } from './interop.ts'

/** The functions of odd.py, for a script of `pyiceberg` or `spark` to begin with. */
export const ODD = `${readFileSync(new URL('odd.py', import.meta.url), 'utf8')}\n`

export type Row = Readonly<Record<string, unknown>>

export interface OddTables {
  /** Case → expected rows by `id`; a sensitive cell is `{$: text}`. */
  readonly rows: ReadonlyMap<string, readonly Row[]>
  /** Folder of a case's input files. */
  input(name: string): string
  location(name: string): string
  config(name: string): string
  readonly warehouse: string
  /** Rows as a reader has them, with each pseudonym as `{$: text}`, and `random: true` where it is not the text's deterministic one. */
  withTexts(rows: readonly Row[]): Promise<Row[]>
  pseudonym(text: string): Promise<string>
}

/** Makes the inputs below `dir` and runs our batch over each. */
export async function oddTables(dir: string): Promise<OddTables> {
  const inputs = join(dir, 'in')
  const warehouse = join(dir, 'warehouse')
  const keyring = join(dir, 'keys.json')
  await saveKeyring(keyring, createKeyring({ domains: ['default'], randomBytes, now: Date.now() }), randomBytes)
  const byteArrays = join(inputs, 'bytearrays', 'a.parquet')
  mkdirSync(join(inputs, 'bytearrays'), { recursive: true })
  writeFileSync(byteArrays, decimalsInByteArrays())

  const cases = await pyiceberg<Record<string, { rules: Row; rows: Row[] }>>(
    `${ODD}
cases = {**make(args), 'bytearrays': {'s9': DET, 's38': DET}}
result = {name: {'rules': rules, 'rows': expected_rows(f'{args}/{name}', rules)} for name, rules in cases.items()}`,
    inputs,
  )
  const config = (name: string) => join(dir, `${name}.json`)
  for (const [name, { rules, rows }] of Object.entries(cases)) {
    const settings = {
      job: name,
      input: { path: join(inputs, name) },
      columns: rules,
      service: { embedded: { keyring } },
      output: { table: `odd.${name}`, warehouse },
      // Copied columns repeat sensitive ones on purpose.
      gate: { max_match_ratio: 1 },
    }
    writeFileSync(config(name), JSON.stringify(settings))
    const report = await cli(['batch', '--config', config(name), '--json', '--quiet'], dir)
    if (report.rows !== rows.length) throw new Error(`${name}: ${report.rows} rows, expected ${rows.length}`)
  }
  const keys = await openKeys(keyring)
  return {
    rows: new Map(Object.entries(cases).map(([name, { rows }]) => [name, rows])),
    input: (name) => join(inputs, name),
    location: (name) => join(warehouse, 'odd', name),
    config,
    warehouse,
    withTexts: (rows) => withTexts(keys, rows),
    pseudonym: async (text) => {
      const { values } = await pseudonymize(keys, { domain: 'default', deterministic: true, values: [text] })
      return values[0] as string
    },
  }
}

export async function openKeys(path: string): Promise<Keyring> {
  return openKeyring(await loadKeyring(path), nobleKernel, { randomBytes })
}

/** Runs a command line in this process. @returns its JSON document @throws with it when it fails */
export async function cli(words: readonly string[], cwd: string): Promise<Row> {
  let out = ''
  const code = await runCli(words, {
    env: {},
    cwd,
    clock: systemClock(),
    random: Math.random,
    signal: new AbortController().signal,
    tty: false,
    out: (text) => {
      out += text
    },
    err: () => undefined,
    lines: async function* () {},
  })
  if (code !== 0) throw new Error(`${words.join(' ')} ended with ${code}: ${out}`)
  return JSON.parse(out) as Row
}

/** As `OddTables.withTexts`. */
export async function withTexts(keys: Keyring, rows: readonly Row[]): Promise<Row[]> {
  const start = `p2.${keys.domains[0]?.primary}.`
  const found = new Set<string>()
  walk(rows, (text) => {
    if (text.startsWith(start)) found.add(text)
    return text
  })
  const pseudonyms = [...found]
  const { values: texts } = await reidentify(keys, { domain: 'default', values: pseudonyms })
  const again = await pseudonymize(keys, { domain: 'default', deterministic: true, values: texts })
  const cells = new Map(
    pseudonyms.map((pseudonym, i) => [
      pseudonym,
      again.values[i] === pseudonym ? { $: texts[i] } : { $: texts[i], random: true },
    ]),
  )
  return walk(rows, (text) => cells.get(text) ?? text) as Row[]
}

function walk(value: unknown, change: (text: string) => unknown): unknown {
  if (typeof value === 'string') return change(value)
  if (Array.isArray(value)) return value.map((item) => walk(item, change))
  if (typeof value !== 'object' || value === null) return value
  const changed = Object.entries(value).map(([key, item]) => [key, walk(item, change)] as const)
  // A map's keys may have been replaced, and its entries stand in an order of their own.
  return Object.fromEntries(changed.map(([key, item]) => [key, key === 'map' ? sorted(item as unknown[]) : item]))
}

const sorted = (entries: unknown[]) => entries.toSorted((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1))

/** Maps in the order of `withTexts`. */
export function inOrder(rows: readonly Row[]): Row[] {
  return walk(rows, (text) => text) as Row[]
}

/** Decimals of the physical type that PyArrow does not write: as many bytes as each value needs. */
function decimalsInByteArrays(): Uint8Array {
  // Without 0: its fewest bytes are none, and PyArrow refuses that.
  const numbers = [1n, -1n, 127n, 128n, -128n, -129n, 99_999n, -99_999n, 999_999_999n, -999_999_999n]
  const large = [...numbers, 10n ** 38n - 1n, 1n - 10n ** 38n, 2n ** 96n]
  const column = (values: readonly bigint[]) =>
    Array.from({ length: 100 }, (_, i) => (i % 9 === 4 ? null : values[i % values.length]))
  const decimal = (name: string, precision: number, scale: number) => ({
    name,
    type: 'BYTE_ARRAY' as const,
    converted_type: 'DECIMAL' as const,
    repetition_type: 'OPTIONAL' as const,
    precision,
    scale,
  })
  const columns = [decimal('d9', 9, 2), decimal('s9', 9, 2), decimal('d38', 38, 10), decimal('s38', 38, 10)]
  return new Uint8Array(
    parquetWriteBuffer({
      schema: [
        { name: 'root', num_children: columns.length + 1 },
        { name: 'id', type: 'INT64', repetition_type: 'REQUIRED' },
        ...columns,
      ],
      columnData: [
        { name: 'id', data: Array.from({ length: 100 }, (_, i) => BigInt(i)) },
        ...columns.map(({ name, precision }) => ({ name, data: column(precision === 9 ? numbers : large) })),
      ],
    }),
  )
}
