/** Bad records between two commits: held, sealed, and listed for the mark that is committed with them. */
import { compareSequences, type StreamRecord } from '../../../lib/kinesis/records.ts'
import type { Storage } from '../../../lib/storage/storage.ts'
import type { StreamState } from '../mark.ts'
import type { BadReason } from '../values.ts'
import { digestOf, type SealedObject, writeList } from './list.ts'
import type { Sealer } from './sealed.ts'

/** A record as it lies sealed: a line of JSON. */
export interface SealedRecord {
  readonly sequence: string
  readonly sub: number
  readonly arrivalMs: number
  readonly partitionKey: string
  readonly reason: BadReason
  /** In base64. */
  readonly data: string
}

export interface SealingOptions {
  readonly sealer: Sealer
  readonly storage: Storage
  /** Without a slash at its end. */
  readonly path: string
  readonly job: string
  readonly run: string
  /** Of one run; undefined for no limit. */
  readonly maxRecords: number | undefined
  readonly wall: () => number
}

/** Of records that wait to be sealed, in all shards. */
const HELD_BYTES = 8 << 20

interface Held {
  readonly records: StreamRecord[]
  readonly lines: string[]
  readonly reasons: Map<BadReason, number>
}

export class Sealing {
  readonly #options: SealingOptions
  readonly #held = new Map<string, Held>()
  #objects: SealedObject[] = []
  #bytes = 0
  #records = 0
  #number = 0

  constructor(options: SealingOptions) {
    this.#options = options
  }

  /** @returns false where a run may have no more of them */
  add(record: StreamRecord, reason: BadReason): boolean {
    const { maxRecords } = this.#options
    if (maxRecords !== undefined && this.#records >= maxRecords) return false
    this.#records++
    const held: Held = this.#held.get(record.shard) ?? { records: [], lines: [], reasons: new Map() }
    this.#held.set(record.shard, held)
    const { sequence, sub, arrivalMs, partitionKey, data } = record
    const line: SealedRecord = {
      ...{ sequence, sub, arrivalMs, partitionKey, reason },
      data: Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString('base64'),
    }
    held.records.push(record)
    held.lines.push(JSON.stringify(line))
    held.reasons.set(reason, (held.reasons.get(reason) ?? 0) + 1)
    this.#bytes += (held.lines.at(-1) as string).length
    return true
  }

  /** Seals what is held where that is much. */
  async advance(): Promise<void> {
    if (this.#bytes >= HELD_BYTES) await this.#seal()
  }

  /**
   * Seals what is held, and lists it behind `previous`.
   * @returns what the mark is to name
   */
  async finish(previous: StreamState['quarantine'], table: string): Promise<StreamState['quarantine']> {
    await this.#seal()
    if (this.#objects.length === 0) return previous
    const { storage, path, job, run } = this.#options
    const location = `${path}/${job}/lists/${table}-${run}-${String(this.#number++).padStart(6, '0')}.json`
    return writeList(storage, location, this.#objects, previous)
  }

  /** What was finished is committed. */
  committed(): void {
    this.#objects = []
  }

  /** After a failure: what was read is read again. Sealed objects that no mark names are left: nobody can open them here. */
  drop(): void {
    this.#records -= this.#objects.reduce((sum, { records }) => sum + records, 0)
    for (const { records } of this.#held.values()) this.#records -= records.length
    this.#objects = []
    this.#held.clear()
    this.#bytes = 0
  }

  async #seal(): Promise<void> {
    const { sealer, storage, path, job, run, wall } = this.#options
    for (const [shard, { records, lines, reasons }] of this.#held) {
      const sequences = records.map(({ sequence }) => sequence).sort(compareSequences)
      const [first, last] = [sequences[0] as string, sequences.at(-1) as string]
      const about = { job, shard, first, last, records: records.length }
      const bytes = await sealer.seal(about, Buffer.from(`${lines.join('\n')}\n`))
      const location = `${path}/${job}/${shard}/${first}-${last}-${run}-${this.#number++}.sealed`
      await storage.create(location, bytes)
      this.#objects.push({
        ...{ location, sha256: digestOf(bytes), shard, first, last, records: records.length, bytes: bytes.length },
        reasons: Object.fromEntries(reasons),
        sealedMs: wall(),
      })
      this.#held.delete(shard)
    }
    this.#bytes = 0
  }
}
