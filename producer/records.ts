/**
 * Records as the reference's producer sends them: `{"dept_id": "3", "vin": "12345678", "example_ts": "2023-09-26T10:00:00.123456"}`, one line
 * without its end, blanks as Python's json puts them; under a random UUID in hex. Drawn as datasets are (datagen). Pure.
 */

import { digits, timestamps } from '../datagen/text.ts'
import { seeded } from '../lib/core/random.ts'
import type { NewRecord } from '../lib/kinesis/kinesis.ts'

export interface RecordsOptions {
  readonly seed: number
  /** `vin` is drawn from 0 … distinct − 1. */
  readonly distinct: number
  /** Microseconds since 1970-01-01T00:00:00 of the next record, in whatever zone its text is to be. */
  readonly micros: () => number
}

export const DEPARTMENTS = 10
const DEPT = Buffer.from('{"dept_id": "')
const VIN = Buffer.from('", "vin": "')
const TS = Buffer.from('", "example_ts": "')
const END = Buffer.from('"}')
/** Ten digits, 26 characters of a time. */
const MAX_BYTES = DEPT.length + 1 + VIN.length + 10 + TS.length + 26 + END.length

/** A function that makes the next `count` records. */
export function recordSource({ seed, distinct, micros }: RecordsOptions): (count: number) => NewRecord[] {
  const random = seeded(seed)
  const time = timestamps()
  return (count) => {
    const buffer = Buffer.allocUnsafe(count * MAX_BYTES)
    let at = 0
    const put = (part: Buffer) => {
      buffer.set(part, at)
      at += part.length
    }
    return Array.from({ length: count }, () => {
      const begin = at
      put(DEPT)
      at = digits.write(random.below(DEPARTMENTS), buffer, at)
      put(VIN)
      at = digits.write(random.below(distinct), buffer, at)
      put(TS)
      at = time.write(micros(), buffer, at)
      put(END)
      return {
        partitionKey: uuid(random.u32(), random.u32(), random.u32(), random.u32()),
        data: buffer.subarray(begin, at),
      }
    })
  }
}

/** A UUID of version 4 in hex, without its dashes. */
function uuid(a: number, b: number, c: number, d: number): string {
  return hex(a) + hex(((b & 0xffff0fff) | 0x4000) >>> 0) + hex(((c & 0x3fffffff) | 0x80000000) >>> 0) + hex(d)
}

function hex(u32: number): string {
  return u32.toString(16).padStart(8, '0')
}
