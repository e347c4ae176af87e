/** A result as lines for a person. Pure. */
import type { Spread } from '../lib/measure.ts'
import type { Goal, ProductRow, Row } from './goals.ts'

interface Result {
  readonly shape: string
  readonly rows: number
  readonly distinct: number
  readonly input_bytes: number
  readonly pseudolake: ProductRow
  readonly start: ProductRow
  readonly peers: Readonly<Record<string, Row>>
  readonly missing: Readonly<Record<string, string>>
  readonly goals: readonly Goal[]
}

export function table(result: Result): string {
  const { pseudolake, start, peers, missing } = result
  const lines = [
    ['', 'wall', 'CPU', 'service CPU', 'peak MB', 'output MB'],
    ...Object.entries({ pseudolake, 'its start': start }).map(([name, row]) => [
      ...cells(name, row).slice(0, 3),
      both(row.service_cpu_seconds),
      ...cells(name, row).slice(4),
    ]),
    ...Object.entries(peers).map(([name, row]) => cells(name, row)),
  ]
  const widths = lines[0]?.map((_, i) => Math.max(...lines.map((line) => line[i]?.length ?? 0))) ?? []
  return [
    `${result.shape}: ${result.rows} rows, ${result.distinct} distinct, ${mb(result.input_bytes)} MB; seconds, least/median`,
    ...lines.map((line) => line.map((cell, i) => cell.padEnd(widths[i] ?? 0)).join('  ')),
    ...Object.entries(missing).map(([name, reason]) => `${name}: not measured: ${reason}`),
    ...result.goals.map(line),
  ].join('\n')
}

function cells(name: string, row: Row): string[] {
  return [name, both(row.wall_seconds), both(row.cpu_seconds), '', String(row.peak_rss_mb), mb(row.output_bytes)]
}

function both({ least, median }: Spread): string {
  return `${least}/${median}`
}

function mb(bytes: number): string {
  return (bytes / 1e6).toFixed(1)
}

function line({ what, least, median, goal, met }: Goal): string {
  const values = `${what}: ${least} / ${median}`
  return goal === undefined ? `     ${values}` : `${met ? 'met ' : 'MISS'} ${values} (${goal})`
}
