import { asBuffer, lengthOf, type TextBatch } from '../../core/texts.ts'
import type { KeyName, OpenKernel, PseudonymKernel, RandomBytes } from '../kernel.ts'
import { type Worth, worth } from './pays.ts'
import { type CacheEngine, cacheEngine, MOST, OUT_BYTES, TEXT_BYTES } from './wasm/engine.ts'

/**
 * What became of texts that were asked for before, so that the cipher need not be asked again: in memory of its own, bounded, for a while.
 * Each caller has what it asked for itself, of each key and direction: what another one asked is never found, so no answer's time tells of it.
 */
export interface PseudonymCache {
  /**
   * What this caller asked of this key before. Undefined where looking is not worth it: of whoever asks for other texts each time only a
   * request now and then is looked at; and where the key is not one of {@link wrap}, or is wiped.
   * @param caller by identity
   */
  of(caller: object, kernel: PseudonymKernel, back: boolean): Known | undefined
  /** Opens kernels that may be asked for; disposing of one wipes the whole cache. */
  wrap(openKernel: OpenKernel): OpenKernel
  /** Overwrites what is too old to be found. */
  expire(): void
  /** Overwrites everything. */
  clear(): void
}

/** One caller's, of one key, in one direction. The offsets of what it is given must be right. */
export interface Known {
  look(texts: TextBatch): Looked
  /** Keeps what texts became. Only what the kernel has answered may come here: on the way back its tag was right. */
  keep(texts: TextBatch, made: TextBatch): void
}

export interface Looked {
  /** In the order of the texts; at the places that are missing, the empty text. */
  readonly made: { readonly bytes: Uint8Array; readonly offsets: Uint32Array }
  /** Places of texts that nothing is known of; ascending. */
  readonly missing: readonly number[]
}

export interface CacheOptions {
  /** Of its memory altogether. */
  readonly bytes: number
  /** How long a text is kept. */
  readonly ageMs: number
  /** Milliseconds; never goes back. */
  readonly now: () => number
  readonly randomBytes: RandomBytes
}

export const LEAST_CACHE_BYTES = 1 << 21
export const MOST_CACHE_BYTES = 1 << 30

interface Owner extends Worth {
  readonly id: number
}

/** @throws Error where the binary was not built, or this machine has no WebAssembly SIMD */
export function pseudonymCache({ bytes, ageMs, now, randomBytes }: CacheOptions): PseudonymCache {
  const engine = cacheEngine(bytes)
  /** Of kernels that are not wiped: whoever wraps a kernel hands its key's name on. */
  const open = new Set<KeyName>()
  let owners = new WeakMap<object, Map<KeyName, readonly [forward: Owner, back: Owner]>>()
  let lastOwner = 0
  rekey()

  /** Other texts meet in each process, and after each wiping, so that nobody can choose ones that do. */
  function rekey(): void {
    const key = Buffer.from(randomBytes(16))
    engine.setKey(key.readBigUInt64LE(0), key.readBigUInt64LE(8))
    key.fill(0)
  }

  function clear(): void {
    engine.clear()
    owners = new WeakMap()
    rekey()
  }

  function ownerOf(caller: object, key: KeyName, back: boolean): Owner {
    const known = owners.get(caller) ?? new Map<KeyName, readonly [Owner, Owner]>()
    owners.set(caller, known)
    const both = known.get(key) ?? ([newOwner(), newOwner()] as const)
    known.set(key, both)
    return both[back ? 1 : 0]
  }

  /** Never one that was there before. */
  function newOwner(): Owner {
    return { id: ++lastOwner, ...worth() }
  }

  const second = (ms: number) => Math.floor(ms / 1000)

  return {
    of(caller, { key }, back) {
      if (!open.has(key)) return undefined
      const owner = ownerOf(caller, key, back)
      if (!owner.pays()) return undefined
      return {
        look(texts) {
          const looked = look(engine, texts, owner.id, second(now()))
          const count = looked.made.offsets.length - 1
          owner.saw(count, count - looked.missing.length)
          return looked
        },
        keep(texts, made) {
          // Of a key that was wiped meanwhile nothing is left.
          if (!open.has(key) || ownerOf(caller, key, back) !== owner) return
          keep(engine, { texts, made }, owner.id, second(now()), second(now() + ageMs))
        },
      }
    },

    wrap: (openKernel) => (material, options) => {
      const own = openKernel(material, options)
      open.add(own.key)
      return {
        ...own,
        dispose() {
          if (open.delete(own.key)) clear()
          own.dispose()
        },
      }
    },

    expire: () => engine.expire(second(now())),
    clear,
  }
}

function look(engine: CacheEngine, texts: TextBatch, owner: number, now: number): Looked {
  const { memory, words, places } = engine
  const count = texts.offsets.length - 1
  const offsets = new Uint32Array(count + 1)
  const parts: Uint8Array[] = []
  const missing: number[] = []
  let total = 0
  for (const [from, to] of chunks(texts)) {
    const n = to - from
    const size = put(engine, texts, from, to, 'text')
    if (size === undefined) {
      missing.push(from)
      offsets[to] = total
      continue
    }
    let made = 0
    try {
      const misses = engine.recall(n, owner, now)
      const at = places.outOffsets >> 2
      made = words[at + n] as number
      for (let i = 0; i < misses; i++) missing.push(from + (words[(places.missing >> 2) + i] as number))
      if (total === 0) offsets.set(words.subarray(at + 1, at + n + 1), from + 1)
      else for (let i = 1; i <= n; i++) offsets[from + i] = total + (words[at + i] as number)
      if (made > 0) parts.push(new Uint8Array(memory.subarray(places.out, places.out + made)))
      total += made
    } finally {
      engine.forget(n, size, made)
    }
  }
  const [only] = parts
  return { made: { bytes: parts.length === 1 && only ? only : joined(parts, total), offsets }, missing }
}

function keep(
  engine: CacheEngine,
  { texts, made }: { readonly texts: TextBatch; readonly made: TextBatch },
  owner: number,
  now: number,
  until: number,
): void {
  for (const [from, to] of chunks(texts)) {
    const size = put(engine, texts, from, to, 'text')
    if (size === undefined) continue
    const out = put(engine, made, from, to, 'out')
    try {
      if (out !== undefined) engine.keep(to - from, owner, now, until)
    } finally {
      engine.forget(to - from, size, out ?? 0)
    }
  }
}

const ROOM = { text: TEXT_BYTES, out: OUT_BYTES } as const

/** Puts texts in the engine's memory, their offsets from 0. @returns bytes; undefined where there is no room: then nothing was */
function put(
  engine: CacheEngine,
  texts: TextBatch,
  from: number,
  to: number,
  where: 'text' | 'out',
): number | undefined {
  const { memory, words, places } = engine
  const { offsets } = texts
  const first = offsets[from] as number
  const size = (offsets[to] as number) - first
  if (size > ROOM[where]) return undefined
  asBuffer(texts.bytes).copy(memory, places[where], first, first + size)
  const at = places[`${where}Offsets`] >> 2
  if (first === 0) words.set(offsets.subarray(from, to + 1), at)
  else for (let i = from; i <= to; i++) words[at + i - from] = (offsets[i] as number) - first
  return size
}

/** From and to of each call: texts that have room together, or one that may have none. */
function* chunks(texts: TextBatch): Generator<readonly [from: number, to: number]> {
  const { offsets } = texts
  const count = offsets.length - 1
  for (let from = 0; from < count; ) {
    let to = Math.min(count, from + MOST)
    if ((offsets[to] as number) - (offsets[from] as number) > TEXT_BYTES) {
      for (to = from + 1; to < count && (offsets[to + 1] as number) - (offsets[from] as number) <= TEXT_BYTES; ) to++
    }
    yield [from, to]
    from = to
  }
}

function joined(parts: readonly Uint8Array[], total: number): Uint8Array {
  const bytes = new Uint8Array(total)
  let at = 0
  for (const part of parts) {
    bytes.set(part, at)
    at += part.length
    part.fill(0)
  }
  return bytes
}

/** What was found and what was made anew, each text in its place. @param anew of those that are missing, in their order */
export function merged({ made: found, missing }: Looked, anew: TextBatch): TextBatch {
  const count = found.offsets.length - 1
  const offsets = new Uint32Array(count + 1)
  const bytes = new Uint8Array(
    found.bytes.length + (anew.offsets[missing.length] as number) - (anew.offsets[0] as number),
  )
  const [one, other] = [asBuffer(found.bytes), asBuffer(anew.bytes)]
  let end = 0
  let from = 0
  for (let next = 0; next <= missing.length; next++) {
    // Those that were found up to the one that was not are copied at once.
    const to = next < missing.length ? (missing[next] as number) : count
    const start = found.offsets[from] as number
    for (let i = from; i < to; i++) offsets[i + 1] = end + (found.offsets[i + 1] as number) - start
    one.copy(bytes, end, start, found.offsets[to])
    end += (found.offsets[to] as number) - start
    if (to === count) break
    other.copy(bytes, end, anew.offsets[next], anew.offsets[next + 1])
    end += lengthOf(anew, next)
    offsets[to + 1] = end
    from = to + 1
  }
  return { bytes, offsets }
}
