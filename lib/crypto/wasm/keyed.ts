import { createCipheriv } from 'node:crypto'
import { discard } from '../../core/texts.ts'
import { formatOf, type PseudonymFormat } from '../format.ts'
import type { KeyMaterial } from '../kernel.ts'
import { NONCE_BYTES } from '../kernel.ts'
import { secretBytes } from '../secret-bytes.ts'
import { type Engine, loadEngine } from './engine.ts'

/**
 * The engine under one key: it works on texts that lie in the engine's memory, with their lengths beside them, and leaves the results
 * there. How they come there and are taken out is the business of strings.ts and bytes.ts.
 *
 * The six AES blocks a message that RFC 8452 derives its keys with are all under the same master key: they go to node:crypto, in one
 * call for the chunk. Everything else is the kernel's.
 */
export interface Keyed {
  /** The key's. */
  readonly id: string
  readonly engine: Engine
  /** Without its keys. */
  readonly format: PseudonymFormat
  readonly prefixBytes: number
  /** The `n` texts become pseudonyms at `places.out`. @param random their nonces, else they follow from the texts. @returns characters */
  seal(n: number, random: Uint8Array | undefined): number
  /** The `n` pseudonyms become texts at `places.out`, but for those flagged `BAD`; `lengths` are then theirs. @returns the longest */
  open(n: number): number
  /** To be called after each of these, whatever came of it. */
  forget(n: number, textBytes: number, outBytes: number, sealedBytes: number, longest: number): void
  /** Once. */
  dispose(): void
}

/** Six blocks, of which half is used (RFC 8452 §4). */
const DERIVED_BYTES = 96

/** Keeps no key but in OpenSSL's context and as HMAC states. @throws Error where the engine can't run */
export function keyed(material: KeyMaterial): Keyed {
  const engine = loadEngine()
  const { memory, places } = engine
  const format = formatOf(material)
  const { associatedData, macHead } = format
  const prefix = Buffer.from(format.prefix, 'latin1')
  const url = format.alphabet === 'base64url'
  const macStates = statesOf(engine, format.macKey)
  const master = createCipheriv('aes-256-ecb', format.cipherKey, null).setAutoPadding(false)
  format.cipherKey.fill(0)
  format.macKey.fill(0)

  /** Puts what belongs to this key into the memory that all keys share. */
  function useKey(): void {
    macStates.copy(memory, places.macStates)
    memory.set(macHead, places.macPrefix)
    memory.set(prefix, places.prefix)
    memory.set(associatedData, places.aad)
    // POLYVAL takes whole blocks.
    memory.fill(0, places.aad + associatedData.length, places.aad + associatedData.length + 16)
  }

  function deriveKeys(n: number): void {
    engine.derivationBlocks(n)
    const at = places.derived
    const keys = master.update(memory.subarray(at, at + n * DERIVED_BYTES))
    memory.set(keys, at)
    discard(keys)
  }

  return {
    id: material.id,
    engine,
    format,
    prefixBytes: prefix.length,

    seal(n, random) {
      useKey()
      if (random) placeNonces(engine, random, n)
      else engine.nonces(n, macHead.length, format.macCounted, format.nonceDigit ?? -1)
      deriveKeys(n)
      return engine.seal(n, associatedData.length, prefix.length, url)
    },

    open(n) {
      useKey()
      engine.unspell(n, prefix.length, url)
      let longest = 0
      for (let i = 0; i < n; i++) longest = Math.max(longest, engine.lengths[i] as number)
      deriveKeys(n)
      engine.open(n, associatedData.length)
      return longest
    },

    forget(n, textBytes, outBytes, sealedBytes, longest) {
      engine.wipe(n, textBytes, outBytes, sealedBytes, longest)
      memory.fill(0, places.macStates, places.macStates + macStates.length)
    },

    dispose() {
      // OpenSSL clears the key when its context is freed, which the end of the stream brings about.
      master.final()
      macStates.fill(0)
    },
  }
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
  const states = Buffer.from(secretBytes(64).buffer)
  memory.copy(states, 0, places.macStates, places.macStates + 64)
  memory.fill(0, places.macKey, places.macKey + 64)
  memory.fill(0, places.macStates, places.macStates + 64)
  return states
}
