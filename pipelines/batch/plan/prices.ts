/** Prices and rates that a plan counts with: a dated file, which a user's own can take the place of. Pure. */
import { PseudolakeError } from '../../../lib/core/errors.ts'
import shipped from './prices.json' with { type: 'json' }

export interface Prices {
  readonly date: string
  readonly currency: string
  readonly source: string
  /** In the currency. */
  readonly prices: Readonly<Record<PriceName, number>>
  readonly rates: Readonly<Record<RateName, number>>
}

const PRICES = [
  'gateway_per_million_requests',
  'function_per_million_requests',
  'function_per_gb_second',
  'vcpu_per_hour',
  'storage_per_gb_month',
  'storage_per_1000_writes',
  'storage_per_1000_reads',
] as const
const RATES = [
  'files_per_second',
  'copied_bytes_per_second',
  'values_per_second',
  'swapped_cells_per_second',
  'transcoded_cells_per_second',
  'identifiers_per_second',
  'service_seconds_per_request',
  'function_gb',
] as const
type PriceName = (typeof PRICES)[number]
type RateName = (typeof RATES)[number]

export interface Cost {
  readonly currency: string
  /** Of one run, without what is paid by the month. */
  readonly total: number
  /** Of the prices. */
  readonly date: string
  readonly source: string
  readonly items: readonly CostItem[]
}

export interface CostItem {
  readonly name: string
  readonly quantity: number
  readonly unit: string
  readonly amount: number
  /** Paid each month, and not in the total. */
  readonly monthly?: true
}

/** @throws PseudolakeError `config/invalid` naming the key */
export function readPrices(text: string, file: string): Prices {
  let read: unknown
  try {
    read = JSON.parse(text)
  } catch (error) {
    throw new PseudolakeError('config/invalid', `${file} is not JSON`, { file }, { cause: error })
  }
  return checked(read, file)
}

export function shippedPrices(): Prices {
  return checked(shipped, 'prices.json')
}

function checked(read: unknown, file: string): Prices {
  const invalid = (key: string, expected: string) =>
    new PseudolakeError('config/invalid', `${file}: ${key}: expected ${expected}`, {
      file,
      key,
      hint: 'docs/plan.md shows the form; every key is needed.',
    })
  const all = section(read) ?? {}
  if (all.version !== 1) throw invalid('version', '1')
  const text = (key: string, pattern: RegExp, expected: string): string => {
    const value = all[key]
    if (typeof value !== 'string' || !pattern.test(value)) throw invalid(key, expected)
    return value
  }
  const numbers = <N extends string>(key: string, names: readonly N[], least: number): Record<N, number> => {
    const of = section(all[key]) ?? {}
    const entries = names.map((name) => {
      const value = of[name]
      if (typeof value !== 'number' || !Number.isFinite(value) || value < least)
        throw invalid(`${key}.${name}`, least > 0 ? 'a number above 0' : 'a number from 0')
      return [name, value] as const
    })
    return Object.fromEntries(entries) as Record<N, number>
  }
  return {
    date: text('date', /^\d{4}-\d{2}-\d{2}$/, 'YYYY-MM-DD'),
    currency: text('currency', /^[A-Z]{3}$/, 'three capital letters'),
    source: text('source', /^.{1,300}$/, 'where the prices are from'),
    prices: numbers('prices', PRICES, 0),
    rates: numbers('rates', RATES, Number.MIN_VALUE),
  }
}

function section(value: unknown): Record<string, unknown> | undefined {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
    ? (value as Record<string, unknown>)
    : undefined
}

export interface Load {
  readonly files: number
  readonly copiedBytes: number
  /** Entries of dictionaries, and values that stand in pages without one: each is decoded, looked up and written. */
  readonly values: number
  readonly swappedCells: number
  readonly transcodedCells: number
  readonly identifiers: number
  readonly requests: number
  readonly bytesOut: number
  readonly dataFiles: number
  /** Whether requests go to a service elsewhere, or to a keyring in the process. */
  readonly remote: boolean
  /** Of requests. */
  readonly concurrency: number
  /** Whether the output is paid for by what is stored and asked. */
  readonly objectStore: boolean
}

/** Seconds of one machine, of which `cpu` are its own work. */
export function timeOf(load: Load, { rates }: Prices): { readonly seconds: number; readonly cpu: number } {
  const cpu =
    load.files / rates.files_per_second +
    load.copiedBytes / rates.copied_bytes_per_second +
    load.values / rates.values_per_second +
    load.swappedCells / rates.swapped_cells_per_second +
    load.transcodedCells / rates.transcoded_cells_per_second +
    (load.remote ? 0 : load.identifiers / rates.identifiers_per_second)
  // Requests of one file's column are in flight together; the next file waits for them.
  const waiting = load.remote
    ? Math.max(load.requests / load.concurrency, Math.min(load.requests, load.files)) *
      rates.service_seconds_per_request
    : 0
  return { seconds: cpu + waiting, cpu }
}

export function costOf(load: Load, cpuSeconds: number, { prices, rates, ...about }: Prices): Cost {
  const items: CostItem[] = []
  const add = (name: string, quantity: number, unit: string, price: number) =>
    items.push({ name, quantity, unit, amount: quantity * price })
  if (load.remote) {
    const gbSeconds = load.requests * rates.service_seconds_per_request * rates.function_gb
    add('gateway requests', load.requests, 'requests', prices.gateway_per_million_requests / 1e6)
    add('function requests', load.requests, 'requests', prices.function_per_million_requests / 1e6)
    add('function time', gbSeconds, 'GB-seconds', prices.function_per_gb_second)
  }
  add('computing', cpuSeconds / 3600, 'vCPU-hours', prices.vcpu_per_hour)
  if (load.objectStore) {
    // A data file is an object; ledger, manifests and metadata are a handful a commit, and reads two or three a file.
    add('storage writes', load.dataFiles + 8, 'requests', prices.storage_per_1000_writes / 1000)
    add('storage reads', 4 * load.files + 8, 'requests', prices.storage_per_1000_reads / 1000)
    const gb = load.bytesOut / 1e9
    items.push({
      name: 'storage',
      quantity: gb,
      unit: 'GB-months',
      amount: gb * prices.storage_per_gb_month,
      monthly: true,
    })
  }
  const total = items.reduce((sum, { amount, monthly }) => (monthly ? sum : sum + amount), 0)
  return { currency: about.currency, total, date: about.date, source: about.source, items }
}
