/** What the gate of a thread has seen of its files, for the gate of the run: one pseudonym for one value holds over all of them. */
import type { StoredObject } from '../../../lib/storage/storage.ts'
import type { ColumnRule } from '../job.ts'
import type { CheckName, TallyPart } from './check.ts'

/** How a column was replaced. */
export interface GateRule {
  readonly rule: Pick<ColumnRule, 'mode' | 'domain' | 'normalize' | 'nullValues'>
  readonly key: string | undefined
}

/** Plain data. */
export interface GatePart {
  readonly tallies: Readonly<Record<CheckName, TallyPart>>
  readonly groups: readonly GroupPart[]
  /** Hashes of values that are searched for in copied columns, two numbers each. */
  readonly originals: Int32Array
  readonly files: readonly { readonly object: StoredObject; readonly columns: readonly number[] }[]
}

export interface GroupPart {
  readonly given: GateRule
  /** Of each pair that was new there four numbers: the value's hash and its pseudonym's; zeros for a value of mode random. */
  readonly pairs: Int32Array
  readonly samples: readonly { readonly value: string; readonly pseudonym: string }[]
}

/** Numbers that are gathered; as long as they must be. */
export class Numbers {
  #numbers = new Int32Array(1 << 10)
  #count = 0

  push(...numbers: readonly number[]): void {
    if (this.#count + numbers.length > this.#numbers.length) {
      const longer = new Int32Array(2 * this.#numbers.length)
      longer.set(this.#numbers)
      this.#numbers = longer
    }
    for (const number of numbers) this.#numbers[this.#count++] = number
  }

  /** They are gathered anew afterwards. */
  take(): Int32Array {
    const taken = this.#numbers.slice(0, this.#count)
    this.#count = 0
    return taken
  }
}
