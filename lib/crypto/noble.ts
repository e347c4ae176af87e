import { isUtf8 } from 'node:buffer'
import { createRequire } from 'node:module'
import { asBuffer, bytesIn, countOf, offsetsIn, type TextBatch, type TextRoom, textAt } from '../core/texts.ts'
import { checkIdentifiers } from './check.ts'
import { formatOf } from './format.ts'
import type { KernelOptions, KeyMaterial, PseudonymKernel, StringsOptions } from './kernel.ts'
import { MAX_IDENTIFIER_BYTES, NONCE_BYTES, TAG_BYTES } from './kernel.ts'
import { refusalFor, wiped } from './refusal.ts'

/**
 * The kernel in plain TypeScript over @noble: audited, runs wherever JavaScript does, 25 µs an identifier.
 * The node:crypto of Node 24 has no AES-256-GCM-SIV, that of Node 26 refuses the empty plaintext.
 */
export function nobleKernel(material: KeyMaterial, options: KernelOptions): PseudonymKernel {
  return kernelOver(noble(), material, options)
}

/** The same over libraries that are there already. */
export function kernelOver(
  { gcmsiv, hmac, sha256 }: Libraries,
  material: KeyMaterial,
  { randomBytes }: KernelOptions,
): PseudonymKernel {
  const { id, domain, format: name } = material
  const format = formatOf(material)
  // Keyed once: the two blocks of padded key need no hashing again for each identifier.
  const keyed = hmac.create(sha256, format.macKey)
  let disposed = false

  function open(): void {
    if (disposed) throw wiped(id)
  }

  function seal(plain: Uint8Array, nonce: Uint8Array): string {
    const sealed = Buffer.allocUnsafe(NONCE_BYTES + plain.length + TAG_BYTES)
    sealed.set(nonce)
    sealed.set(gcmsiv(format.cipherKey, nonce, format.associatedData).encrypt(plain), NONCE_BYTES)
    return format.write(sealed)
  }

  function sealAll(plain: readonly Uint8Array[], deterministic: boolean): string[] {
    const random = deterministic ? undefined : randomBytes(NONCE_BYTES * plain.length)
    return plain.map((bytes, i) => {
      if (random) return seal(bytes, random.subarray(i * NONCE_BYTES, (i + 1) * NONCE_BYTES))
      const mac = keyed.clone().update(format.macPrefix(bytes.length)).update(bytes).digest()
      return seal(bytes, format.nonce(mac))
    })
  }

  function unseal(text: string): Uint8Array | undefined {
    const sealed = format.read(text)
    if (!sealed) return undefined
    try {
      const cipher = gcmsiv(format.cipherKey, sealed.subarray(0, NONCE_BYTES), format.associatedData)
      const plain = cipher.decrypt(sealed.subarray(NONCE_BYTES))
      return isUtf8(plain) ? plain : undefined
    } catch {
      return undefined
    }
  }

  return {
    key: { id, domain, format: name },
    pseudonymLength: format.length,
    identifierLength: format.plainLength,

    pseudonymize(identifiers, { deterministic, into }) {
      open()
      return put(sealAll(complete(identifiers.map(encode), 'identifier/invalid', id), deterministic), into)
    },

    reidentify(pseudonyms, options) {
      open()
      const plain = complete(pseudonyms.map(unseal), 'pseudonym/invalid', id)
      return put(
        plain.map((bytes) => UTF8.decode(bytes)),
        options?.into,
      )
    },

    pseudonymizeBytes(batch, { deterministic, into }) {
      open()
      const plain = Array.from({ length: checkIdentifiers(batch, id) }, (_, i) => textAt(batch, i))
      const texts = sealAll(plain, deterministic).map((text) => Buffer.from(text, 'latin1'))
      return gathered(texts, into)
    },

    reidentifyBytes(batch, options) {
      open()
      // Read by Buffer: a TextDecoder takes no memory that threads share.
      const { offsets } = batch
      const bytes = asBuffer(batch.bytes)
      const texts = Array.from({ length: countOf(batch) }, (_, i) =>
        bytes.toString('latin1', offsets[i], offsets[i + 1]),
      )
      return gathered(complete(texts.map(unseal), 'pseudonym/invalid', id), options?.into)
    },

    dispose() {
      disposed = true
      format.cipherKey.fill(0)
      format.macKey.fill(0)
      keyed.destroy()
    },
  }
}

export type Libraries = ReturnType<typeof noble>

/** Loaded where this kernel serves: it makes its tables when it is loaded, which takes longer than the other kernel's self-test. */
function noble() {
  const require = createRequire(import.meta.url)
  const { gcmsiv } = require('@noble/ciphers/aes.js') as typeof import('@noble/ciphers/aes.js')
  const { hmac } = require('@noble/hashes/hmac.js') as typeof import('@noble/hashes/hmac.js')
  const { sha256 } = require('@noble/hashes/sha2.js') as typeof import('@noble/hashes/sha2.js')
  return { gcmsiv, hmac, sha256 }
}

/** Keeps a byte order mark: it is part of the identifier. */
const UTF8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

function put(made: string[], into: StringsOptions['into']): string[] {
  if (!into) return made
  for (const [i, text] of made.entries()) into.texts[into.at + i] = text
  return into.texts
}

function gathered(texts: readonly Uint8Array[], into: TextRoom | undefined): TextBatch {
  const offsets = offsetsIn(into, texts.length)
  for (const [i, text] of texts.entries()) offsets[i + 1] = (offsets[i] as number) + text.length
  const bytes = bytesIn(into, offsets[texts.length] as number)
  for (const [i, text] of texts.entries()) bytes.set(text, offsets[i])
  return { bytes, offsets }
}

function encode(identifier: string): Buffer | undefined {
  // A lone surrogate would be encoded as U+FFFD, and then two identifiers would share a pseudonym.
  if (!identifier.isWellFormed()) return undefined
  const bytes = Buffer.from(identifier, 'utf8')
  return bytes.length > MAX_IDENTIFIER_BYTES ? undefined : bytes
}

/** The results, where there is one for each text; else an error that says where there is none. */
function complete<T>(
  results: readonly (T | undefined)[],
  code: 'identifier/invalid' | 'pseudonym/invalid',
  key: string,
): T[] {
  const refusal = refusalFor(code, key)
  for (let i = 0; i < results.length; i++) if (results[i] === undefined) refusal.add(i)
  refusal.throwIfAny()
  return results as T[]
}
