import { createCipheriv } from 'node:crypto'
import { formatOf, MAX_ENCODED } from './format.ts'
import type { KernelOptions, KeyMaterial, PseudonymKernel } from './kernel.ts'
import { MAX_IDENTIFIER_BYTES, NONCE_BYTES, TAG_BYTES } from './kernel.ts'
import { refusalFor, wiped } from './refusal.ts'
import { BAD, type Engine, loadEngine, MESSAGES, OUT_BYTES, TEXT_BYTES, WIDE } from './wasm/engine.ts'

/**
 * The fast kernel: our WebAssembly, constant-time, many messages a call (README.md). A batch is taken in chunks; of each, the strings
 * are joined and encoded once, and what comes out is read as one string and cut.
 *
 * The six AES blocks a message that RFC 8452 derives its keys with are all under the same master key: they go to node:crypto, in one
 * call for the chunk. Everything else is the kernel's.
 *
 * The pseudonyms of a chunk share one string in V8: holding on to one keeps up to 2,048 alive.
 *
 * @throws Error where the kernel's binary was not built, or this machine has no WebAssembly SIMD
 */
export function wasmKernel(material: KeyMaterial, { randomBytes }: KernelOptions): PseudonymKernel {
  const engine = loadEngine()
  const { memory, places, lengths } = engine
  const { id, domain, format: name } = material
  const format = formatOf(material)
  const { prefix, associatedData, macHead } = format
  const prefixBytes = Buffer.from(prefix, 'latin1')
  const url = format.alphabet === 'base64url'
  const macStates = statesOf(engine, format.macKey)
  const master = createCipheriv('aes-256-ecb', format.cipherKey, null).setAutoPadding(false)
  format.cipherKey.fill(0)
  format.macKey.fill(0)
  let disposed = false

  /** Puts what belongs to this key into the memory that all keys share. */
  function useKey(): void {
    macStates.copy(memory, places.macStates)
    memory.set(macHead, places.macPrefix)
    memory.set(prefixBytes, places.prefix)
    memory.set(associatedData, places.aad)
    // POLYVAL takes whole blocks.
    memory.fill(0, places.aad + associatedData.length, places.aad + associatedData.length + 16)
  }

  function deriveKeys(n: number): void {
    engine.derivationBlocks(n)
    const at = places.derived
    const keys = master.update(memory.subarray(at, at + n * DERIVED_BYTES))
    memory.set(keys, at)
    keys.fill(0)
  }

  function forget(n: number, textBytes: number, outBytes: number, sealedBytes: number, longest: number): void {
    engine.wipe(n, textBytes, outBytes, sealedBytes, longest)
    memory.fill(0, places.macStates, places.macStates + macStates.length)
  }

  /** @throws PseudolakeError for the whole batch, so that the error doesn't depend on where chunks end */
  function refuse(identifiers: readonly string[]): never {
    const refusal = refusalFor('identifier/invalid', id)
    identifiers.forEach((text, i) => {
      if (!text.isWellFormed() || Buffer.byteLength(text) > MAX_IDENTIFIER_BYTES) refusal.add(i)
    })
    refusal.throwIfAny()
    throw new Error('a batch was refused, and none of its identifiers')
  }

  /** The pseudonyms of one chunk, put into `to` from `first` on. @returns false where an identifier can't have one */
  function sealChunk(
    texts: readonly string[],
    units: number,
    random: Uint8Array | undefined,
    to: string[],
    first: number,
  ): boolean {
    const n = texts.length
    const bytes = memory.write(texts.join(''), places.text, TEXT_BYTES, 'utf8')
    let longest = 0
    let outBytes = 0
    try {
      for (let i = 0; i < n; i++) lengths[i] = (texts[i] as string).length
      if (bytes !== units) {
        // A lone surrogate would be encoded as U+FFFD, and then two identifiers would share a pseudonym.
        for (const text of texts) if (!text.isWellFormed()) return false
        engine.utf8Lengths(n, bytes)
      }
      for (let i = 0; i < n; i++) longest = Math.max(longest, lengths[i] as number)
      if (longest > MAX_IDENTIFIER_BYTES) return false
      useKey()
      if (random) placeNonces(engine, random, n)
      else engine.nonces(n, macHead.length, format.macCounted, format.nonceDigit ?? -1)
      deriveKeys(n)
      outBytes = engine.seal(n, associatedData.length, prefixBytes.length, url)
      const out = memory.toString('latin1', places.out, places.out + outBytes)
      for (let i = 0, at = 0; i < n; i++) {
        const length = format.length(lengths[i] as number)
        to[first + i] = out.slice(at, at + length)
        at += length
      }
      return true
    } finally {
      forget(n, Math.min(bytes, TEXT_BYTES), outBytes, 0, Math.min(longest, MAX_IDENTIFIER_BYTES))
    }
  }

  /** The identifiers of one chunk, put into `to` from `first` on; `refused` gets the indices within it of those that are none. */
  function openChunk(
    texts: readonly string[],
    units: number,
    refused: (index: number) => void,
    to: string[],
    first: number,
  ): void {
    const n = texts.length
    let bytes = memory.write(texts.join(''), places.text, TEXT_BYTES, 'utf8')
    let longest = 0
    let outBytes = 0
    try {
      if (bytes !== units) {
        texts = texts.map((text) => (isAscii(text) ? text : ''))
        // What was written is longer than what will be.
        memory.fill(0, places.text, places.text + bytes)
        bytes = memory.write(texts.join(''), places.text, TEXT_BYTES, 'latin1')
      }
      for (let i = 0; i < n; i++) lengths[i] = (texts[i] as string).length
      useKey()
      engine.unspell(n, prefixBytes.length, url)
      for (let i = 0; i < n; i++) longest = Math.max(longest, lengths[i] as number)
      deriveKeys(n)
      engine.open(n, associatedData.length)
      const flags = memory.subarray(places.flags, places.flags + n)
      let wide = false
      for (let i = 0; i < n; i++) {
        if (flags[i] !== BAD) outBytes += lengths[i] as number
        if (flags[i] !== 0) wide = true
      }
      const out = wide ? '' : memory.toString('latin1', places.out, places.out + outBytes)
      for (let i = 0, at = 0; i < n; i++) {
        if (flags[i] === BAD) {
          refused(i)
          continue
        }
        const end = at + (lengths[i] as number)
        const text = wide ? decode(at, end, flags[i] === WIDE) : out.slice(at, end)
        at = end
        if (text === undefined) refused(i)
        else to[first + i] = text
      }
    } finally {
      forget(n, bytes, outBytes, SEALED_SHARE(bytes, n), longest)
    }
  }

  /** Each by itself: what is joined may be valid where its parts are not. */
  function decode(start: number, end: number, wide: boolean): string | undefined {
    if (!wide) return memory.toString('latin1', places.out + start, places.out + end)
    try {
      return UTF8.decode(memory.subarray(places.out + start, places.out + end))
    } catch {
      return undefined
    }
  }

  return {
    key: { id, domain, format: name },
    pseudonymLength: format.length,

    pseudonymize(identifiers, { deterministic }) {
      if (disposed) throw wiped(id)
      const result: string[] = new Array(identifiers.length)
      for (const [from, to, units] of chunks(identifiers, MAX_IDENTIFIER_BYTES, FORWARD_UNITS)) {
        if (units < 0) refuse(identifiers)
        const random = deterministic ? undefined : randomBytes(NONCE_BYTES * (to - from))
        if (!sealChunk(part(identifiers, from, to), units, random, result, from)) refuse(identifiers)
      }
      return result
    },

    reidentify(pseudonyms) {
      if (disposed) throw wiped(id)
      const refusal = refusalFor('pseudonym/invalid', id)
      const longest = MAX_ENCODED + prefix.length
      // What is too long for a pseudonym is none, as the empty text is.
      const texts = pseudonyms.some((text) => text.length > longest)
        ? pseudonyms.map((text) => (text.length > longest ? '' : text))
        : pseudonyms
      const result: string[] = new Array(texts.length)
      for (const [from, to, units] of chunks(texts, longest, BACK_UNITS))
        openChunk(part(texts, from, to), units, (index) => refusal.add(from + index), result, from)
      refusal.throwIfAny()
      return result
    },

    dispose() {
      if (disposed) return
      disposed = true
      // OpenSSL clears the key when its context is freed, which the end of the stream brings about.
      master.final()
      macStates.fill(0)
    },
  }
}

/** Six blocks, of which half is used (RFC 8452 §4). */
const DERIVED_BYTES = 96

/** UTF-16 units of a chunk, so that its UTF-8 (three bytes a unit at most) and its pseudonyms fit the kernel's memory. */
const FORWARD_UNITS = 98_304
const BACK_UNITS = 131_072

const UTF8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** Bytes that the pseudonyms of a chunk decode to, at most; a text that is none counts as an empty identifier's. */
function SEALED_SHARE(textBytes: number, n: number): number {
  return Math.min(OUT_BYTES, textBytes + n * (NONCE_BYTES + TAG_BYTES))
}

/** From, to, and UTF-16 units of each chunk; units −1 where a text is longer than `longest`. @throws TypeError where one is no string */
function* chunks(texts: readonly string[], longest: number, most: number): Generator<[number, number, number]> {
  for (let from = 0; from < texts.length; ) {
    const end = Math.min(texts.length, from + MESSAGES)
    let to = from
    let units = 0
    for (; to < end; to++) {
      const text = texts[to] as string
      if (typeof text !== 'string') throw new TypeError(`expected a string at index ${to}, got ${typeof text}`)
      if (text.length > longest) {
        yield [from, to, -1]
        return
      }
      if (units + text.length > most && to > from) break
      units += text.length
    }
    yield [from, to, units]
    from = to
  }
}

function part(texts: readonly string[], from: number, to: number): readonly string[] {
  return from === 0 && to === texts.length ? texts : texts.slice(from, to)
}

function isAscii(text: string): boolean {
  for (let i = 0; i < text.length; i++) if (text.charCodeAt(i) > 127) return false
  return true
}

/** Each nonce behind four zeros: so it is the first block of key derivation. */
function placeNonces({ memory, places }: Engine, nonces: Uint8Array, n: number): void {
  for (let i = 0; i < n; i++) {
    const at = places.nonces + i * 16
    memory.fill(0, at, at + 4)
    memory.set(nonces.subarray(i * NONCE_BYTES, (i + 1) * NONCE_BYTES), at + 4)
  }
}

/** SHA-256 after the inner and the outer block of HMAC's key: all that is kept of it. */
function statesOf({ memory, places, keyStates }: Engine, key: Uint8Array): Buffer {
  memory.set(key, places.macKey)
  keyStates(key.length)
  const states = Buffer.alloc(64)
  memory.copy(states, 0, places.macStates, places.macStates + 64)
  memory.fill(0, places.macKey, places.macKey + 64)
  memory.fill(0, places.macStates, places.macStates + 64)
  return states
}
