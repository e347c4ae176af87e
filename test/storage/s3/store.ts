/** A fake store for one test, and the adapter over it, whose waits take no time. */
import { onTestFinished } from 'vitest'
import type { S3StorageOptions } from '../../../lib/storage/s3/options.ts'
import type { Storage } from '../../../lib/storage/storage.ts'
import { type Asked, type FakeOptions, type FakeS3, type Fault, fakeS3, type Operation } from '../../helpers/s3/fake.ts'
import { s3Over } from '../../helpers/s3/open.ts'
import { waitlessClock } from '../../iceberg/clock.ts'

export interface Store {
  readonly fake: FakeS3
  readonly storage: Storage
  readonly waits: readonly number[]
}

export async function store(options: FakeOptions = {}, more: Partial<S3StorageOptions> = {}): Promise<Store> {
  const fake = await fakeS3(['bucket'], options)
  onTestFinished(() => fake.close())
  const clock = waitlessClock()
  return { fake, storage: s3Over(fake.endpoint, { clock, random: () => 0.5, ...more }), waits: clock.waits }
}

/** The first requests of a kind fail so, one after the other; all that follow are served. */
export function first(operation: Operation, ...faults: Fault[]): (asked: Asked) => Fault | undefined {
  let i = 0
  return (asked) => (asked.operation === operation ? faults[i++] : undefined)
}

export const always = (operation: Operation, fault: Fault) => (asked: Asked) =>
  asked.operation === operation ? fault : undefined

export const SLOW: Fault = { kind: 'refuse', status: 503, code: 'SlowDown' }
export const RESET: Fault = { kind: 'reset' }
export const LOST: Fault = { kind: 'lost' }

export const bytes = (text: string) => new TextEncoder().encode(text)
export const text = (read: Uint8Array) => new TextDecoder().decode(read)

/** Bytes of which no two pieces are alike. */
export function noise(length: number): Uint8Array {
  const words = new Uint32Array(Math.ceil(length / 4))
  for (let i = 0; i < words.length; i++) words[i] = Math.imul(i + 1, 2654435761)
  return new Uint8Array(words.buffer, 0, length)
}
