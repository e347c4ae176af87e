import { createCipheriv } from 'node:crypto'
import { type Engine, loadEngine } from '../../lib/crypto/wasm/engine.ts'

/** What AES-256-GCM-SIV takes; the kernel's own nonces, associated data and spelling don't come into it. */
export interface Message {
  readonly key: Buffer
  readonly nonce: Buffer
  readonly aad: Buffer
  readonly plaintext: Buffer
}

/** RFC 8452's encryption, by the engine behind the kernel: `copies` of the message at once, one of which is answered. */
export function rawSeal({ key, nonce, aad, plaintext }: Message, copies: number, pick: number): Buffer {
  const engine = prepare(key, nonce, aad, copies)
  const { memory, places, lengths } = engine
  for (let i = 0; i < copies; i++) plaintext.copy(memory, places.text + i * plaintext.length)
  lengths.fill(plaintext.length, 0, copies)
  const total = engine.seal(copies, aad.length, 0, false)
  const each = total / copies
  const text = memory.toString('latin1', places.out + pick * each, places.out + (pick + 1) * each)
  return Buffer.from(text, 'base64').subarray(12)
}

/** The way back: undefined where the engine refuses, and then nothing of the text is in its memory. */
export function rawOpen(key: Buffer, nonce: Buffer, aad: Buffer, sealed: Buffer): Buffer | undefined {
  const engine = loadEngine()
  const { memory, places, lengths } = engine
  const text = Buffer.concat([nonce, sealed]).toString('base64')
  lengths[0] = memory.write(text, places.text, 'latin1')
  engine.unspell(1, 0, false)
  const length = lengths[0] as number
  prepare(key, undefined, aad, 1)
  memory.fill(0x55, places.out, places.out + length + 16)
  const bad = engine.open(1, aad.length)
  const out = Buffer.from(memory.subarray(places.out, places.out + length))
  if (bad === 0) return out
  if (!out.every((byte) => byte === 0x55)) throw new Error('something came out before its tag was right')
  return undefined
}

function prepare(key: Buffer, nonce: Buffer | undefined, aad: Buffer, copies: number): Engine {
  const engine = loadEngine()
  const { memory, places } = engine
  memory.fill(0, places.aad, places.aad + aad.length + 16)
  aad.copy(memory, places.aad)
  if (nonce)
    for (let i = 0; i < copies; i++) {
      memory.fill(0, places.nonces + i * 16, places.nonces + i * 16 + 4)
      nonce.copy(memory, places.nonces + i * 16 + 4)
    }
  engine.derivationBlocks(copies)
  const cipher = createCipheriv('aes-256-ecb', key, null).setAutoPadding(false)
  memory.set(cipher.update(memory.subarray(places.derived, places.derived + copies * 96)), places.derived)
  return engine
}
