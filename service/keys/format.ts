import { createHash } from 'node:crypto'
import { PseudolakeError } from '../../lib/core/errors.ts'
import type { OriginalMaterial } from '../../lib/crypto/kernel.ts'
import { type DomainData, KEY_STATES, type KeyData, type KeyringData, type KeyState } from '../../lib/crypto/keyring.ts'
import { secretCopy } from '../../lib/crypto/secret-bytes.ts'
import { DEFAULT_DOMAIN, isDomain, isKeyId } from '../../lib/wire/contract.ts'
import { SEALED_KIND } from './sealed.ts'

/**
 * The keyring's file format, version 2 (docs/service.md). Pure; no I/O.
 *
 * Reading is strict: a key that is cut, repeated, or in the wrong domain would make pseudonyms that nobody can take back later.
 * Errors name the field, the type and the length, never what stands there.
 */
const VERSION = 2

/** @throws PseudolakeError `keyring/invalid` */
export function parseKeyring(text: string): KeyringData {
  const root = object(parseJson(text, 'the keyring'), 'the keyring')
  if (root.version === undefined && root.encodedSecretKey !== undefined)
    throw invalid(
      'this is a secret in the original format; `pseudolake keys import FILE --out KEYRING` makes a keyring of it',
    )
  if (root.kind === SEALED_KIND) throw invalid('this is a sealed keyring; it has to be opened first (docs/keys.md)')
  if (typeof root.version === 'number' && root.version > VERSION)
    throw invalid(
      `version: this pseudolake reads up to ${VERSION}, the keyring has ${root.version}: a newer pseudolake is needed`,
    )
  if (root.version !== VERSION) throw invalid(`version: expected ${VERSION}`)
  const domains = Object.entries(object(root.domains, 'domains')).map(([name, value]) => readDomain(name, value))
  if (domains.length === 0) throw invalid('domains: expected one at least')

  const ids = domains.flatMap(({ keys }) => keys.map(({ material }) => material.id))
  if (new Set(ids).size < ids.length) throw invalid('domains: a key id comes twice; ids are unique in a keyring')
  const originals = domains.flatMap(({ keys }) => keys.filter(({ material }) => material.format === 'original'))
  if (originals.length > 1)
    throw invalid('domains: two keys have the original format; its pseudonyms name no key, so there can be one only')
  return { domains }
}

/** The text of the file, with the key bytes in it. */
export function writeKeyring({ domains }: KeyringData): string {
  const entries = domains.map(({ domain, primary, keys }) => [domain, { primary, keys: keys.map(writeKey) }] as const)
  return `${JSON.stringify({ version: VERSION, domains: Object.fromEntries(entries) }, null, 2)}\n`
}

/** Reads a secret as the original service's key generator wrote it. @throws PseudolakeError `keyring/invalid` */
export function parseOriginalSecret(text: string): OriginalMaterial {
  const fields = object(parseJson(text, 'the secret'), 'the secret')
  if (fields.encodedSecretKey === undefined && fields.domains !== undefined)
    throw invalid('this is a keyring, and no secret in the original format: it can be used as it is')
  if (fields.kind === SEALED_KIND) throw invalid('this is a sealed keyring, and no secret (docs/keys.md)')
  const material = original(fields, { id: '', domain: DEFAULT_DOMAIN }, 'secret')
  return { ...material, id: originalId(material) }
}

const KEY_ID_CHARACTERS = 'abcdefghijklmnopqrstuvwxyz0123456789'

/**
 * An original secret has no id. This one follows from it: the same wherever the secret is read from, so that what a table remembers holds when the
 * secret moves into a keyring, and another one for another secret, so that a rotation shows. It gives away 20 bits of a hash of 320.
 */
function originalId({ secretKey, nonceKey, nonceStrPos }: OriginalMaterial): string {
  const hash = createHash('sha256').update('pseudolake original key id\0')
  const digest = hash.update(secretKey).update(nonceKey).update(String(nonceStrPos)).digest()
  let number = digest.readUIntBE(0, 6)
  let id = ''
  for (let i = 0; i < 4; i++) {
    id += KEY_ID_CHARACTERS[number % 36]
    number = Math.floor(number / 36)
  }
  return id
}

function readDomain(domain: string, value: unknown): DomainData {
  if (!isDomain(domain)) throw invalid('domains: a name is not of 1 to 64 characters of a-z, 0-9, _ and -')
  const place = `domains.${domain}`
  const { primary, keys } = object(value, place)
  if (!Array.isArray(keys) || keys.length === 0) throw invalid(`${place}.keys: expected a list of one key at least`)
  const read = keys.map((key, i) => readKey(domain, key, `${place}.keys[${i}]`))
  if (typeof primary !== 'string' || !read.some(({ material }) => material.id === primary))
    throw invalid(`${place}.primary: expected the id of one of the domain's keys`)
  return { domain, primary, keys: read }
}

function readKey(domain: string, value: unknown, place: string): KeyData {
  const key = object(value, place)
  const { id, format = 'v2', created, state } = key
  if (typeof id !== 'string' || !isKeyId(id)) throw invalid(`${place}.id: expected 4 characters of a-z and 0-9`)
  if (typeof created !== 'string' || !isUtcTime(created))
    throw invalid(`${place}.created: expected a time in UTC, as 2026-01-31T12:00:00Z`)
  if (!isState(state)) throw invalid(`${place}.state: expected one of ${KEY_STATES.join(', ')}`)
  if (format === 'original') {
    if (domain !== DEFAULT_DOMAIN)
      throw invalid(`${place}: a key of the original format can be in the domain ${DEFAULT_DOMAIN} only`)
    return { material: original(key, { id, domain }, place), created, state }
  }
  if (format !== 'v2') throw invalid(`${place}.format: expected "original", or none`)
  const aead = base64(key.aead, 32, `${place}.aead`)
  const mac = base64(key.mac, 32, `${place}.mac`)
  if (Buffer.compare(aead, mac) === 0)
    throw invalid(`${place}: aead and mac are the same key; they must be independent`)
  return { material: { format, id, domain, aead, mac }, created, state }
}

function original(fields: Fields, name: { id: string; domain: string }, place: string): OriginalMaterial {
  const { encodedSecretKey, encodedNonceKey, nonceStrPos, nonceEndPos } = fields
  const isPosition = typeof nonceStrPos === 'number' && Number.isInteger(nonceStrPos)
  if (!isPosition || nonceStrPos < 0 || nonceStrPos > 20)
    throw invalid(`${place}.nonceStrPos: expected an integer from 0 to 20`)
  if (nonceEndPos !== nonceStrPos + 12) throw invalid(`${place}.nonceEndPos: expected nonceStrPos + 12`)
  return {
    format: 'original',
    ...name,
    secretKey: base64(encodedSecretKey, 32, `${place}.encodedSecretKey`),
    nonceKey: base64(encodedNonceKey, 8, `${place}.encodedNonceKey`),
    nonceStrPos,
  }
}

function writeKey({ material, created, state }: KeyData) {
  const { id } = material
  if (material.format === 'v2') return { id, aead: encode(material.aead), mac: encode(material.mac), created, state }
  return {
    id,
    format: material.format,
    encodedSecretKey: encode(material.secretKey),
    encodedNonceKey: encode(material.nonceKey),
    nonceStrPos: material.nonceStrPos,
    nonceEndPos: material.nonceStrPos + 12,
    created,
    state,
  }
}

type Fields = Readonly<Record<string, unknown>>

function parseJson(text: string, what: string): unknown {
  try {
    // Editors on Windows put a byte order mark in front.
    return JSON.parse(text.replace(/^\uFEFF/, ''))
  } catch {
    // Without the cause: the parser's message quotes the text, and the text is keys.
    throw invalid(`${what} is not JSON (${text.length} characters)`)
  }
}

function object(value: unknown, place: string): Fields {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw invalid(`${place}: expected an object`)
  return value as Fields
}

function base64(value: unknown, bytes: number, place: string): Uint8Array {
  if (typeof value !== 'string') throw invalid(`${place}: expected ${bytes} bytes in base64`)
  const pooled = Buffer.from(value, 'base64')
  const own = secretCopy(pooled)
  const canonical = pooled.toString('base64') === value
  pooled.fill(0)
  if (own.length !== bytes || !canonical)
    throw invalid(
      `${place}: expected ${bytes} bytes in padded base64, got ${own.length} from ${value.length} characters`,
    )
  return own
}

function encode(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('base64')
}

function isState(value: unknown): value is KeyState {
  return (KEY_STATES as readonly unknown[]).includes(value)
}

function isUtcTime(text: string): boolean {
  return /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?Z$/.test(text) && !Number.isNaN(Date.parse(text))
}

function invalid(message: string): PseudolakeError {
  return new PseudolakeError('keyring/invalid', message)
}
