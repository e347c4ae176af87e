/** What the files of a plan come to: added up one by one, then told as the parts of a plan that need nothing but the files. */
import type { ParquetFile } from '../../../lib/parquet/open.ts'
import { readablePin } from '../../pins.ts'
import { cacheBytes } from '../../service.ts'
import type { Pinned } from '../identities.ts'
import type { InputFile } from '../inputs.ts'
import { type BatchJob, calledOf } from '../job.ts'
import type { Shape } from '../shape.ts'
import type { Target } from '../target.ts'
import type { BatchPlan, PlannedService } from './document.ts'
import type { Look } from './look.ts'
import { costOf, type Load, type Prices, timeOf } from './prices.ts'
import { Senders } from './senders.ts'
import { Tally } from './tally.ts'

export type PlanSums = Omit<BatchPlan, 'status' | 'skipped_files' | 'bytes_in' | 'steps' | 'creates' | 'notes'>

export class Sums {
  readonly #job: BatchJob
  readonly #target: Target
  readonly #senders: Senders
  readonly #tally: Tally
  #first: Shape | undefined

  /** @param pinned what the key check found; empty where it was not made */
  constructor(job: BatchJob, target: Target, look: Look, pinned: readonly Pinned[]) {
    this.#job = job
    this.#target = target
    const { limits } = job.settings
    this.#senders = new Senders(
      { maxIdentifiers: limits.max_identifiers, maxRequestBytes: limits.max_request_bytes },
      cacheBytes(job.settings),
      job.columns.filter(({ mode }) => mode !== 'drop'),
    )
    const known = new Map(pinned.map(({ rule, identity }) => [rule.name, identity.format]))
    this.#tally = new Tally({
      senders: this.#senders,
      look,
      formatOf: (rule) =>
        known.get(rule.name) ?? readablePin(target.properties, rule.as ?? `s_${rule.name}`)?.format ?? 'v2',
    })
  }

  get dataFiles(): number {
    return this.#tally.dataFiles
  }

  /** Different values that the service would be asked for. */
  get distinct(): number {
    return this.#senders.total().distinct.values
  }

  /** One file at a time. */
  async add(file: ParquetFile, input: InputFile, shape: Shape): Promise<void> {
    this.#first ??= shape
    await this.#tally.add(file, input, shape)
  }

  plan(prices: Prices, keyCheck: PlannedService['key_check']): PlanSums {
    const [job, target, tally, first] = [this.#job, this.#target, this.#tally, this.#first]
    const { limits, service } = job.settings
    const sent = this.#senders.total()
    const keyChecks = keyChecksOf(job, target, first)
    const requests = sent.requests + keyChecks
    const load: Load = {
      files: tally.files,
      copiedBytes: tally.copiedBytes,
      values: tally.values,
      swappedCells: tally.swappedCells,
      transcodedCells: tally.transcodedCells,
      identifiers: sent.identifiers,
      requests,
      bytesOut: tally.bytesOut,
      dataFiles: tally.dataFiles,
      remote: service.embedded === undefined,
      concurrency: limits.max_concurrency,
      objectStore: /^[a-z0-9]+:\/\//i.test(target.location) && !target.location.startsWith('file:'),
    }
    const { seconds, cpu } = timeOf(load, prices)
    return {
      job: job.name,
      table: calledOf(job),
      location: target.location,
      files: tally.files,
      rows: tally.rows,
      row_groups: tally.rowGroups,
      columns: first ? tally.columns(first) : [],
      distinct: sent.distinct,
      service: {
        requests,
        key_checks: keyChecks,
        identifiers: sent.identifiers + keyChecks,
        request_bytes: sent.requestBytes,
        response_bytes: sent.responseBytes,
        key_check: keyCheck,
      },
      bytes_out: tally.bytesOut,
      seconds,
      cost: costOf(load, cpu, prices),
    }
  }
}

/** One for each domain and key that the run's columns use. */
function keyChecksOf(job: BatchJob, target: Target, first: Shape | undefined): number {
  const columns = first
    ? first.replaced
    : job.columns.flatMap((rule) => (rule.mode === 'drop' ? [] : [{ rule, column: rule.as ?? `s_${rule.name}` }]))
  if (!first && !target.metadata) return 0
  const asked = columns.map(({ rule, column }) => {
    const pin = readablePin(target.properties, column)
    return `${rule.domain}\0${rule.key ?? (pin?.domain === rule.domain ? pin.key : undefined) ?? ''}`
  })
  return new Set(asked).size
}
