import { isPseudolakeError, PseudolakeError } from '../../lib/core/errors.ts'
import { lengthOf, packTexts, type TextBatch, unpackTexts } from '../../lib/core/texts.ts'
import type { PseudonymKernel } from '../../lib/crypto/kernel.ts'
import type { Keyring } from '../../lib/crypto/keyring.ts'
import { refusals } from '../../lib/crypto/refusal.ts'
import { kernelFor, kernelForAll, sharesOf } from '../../lib/crypto/shares.ts'
import { MAX_IDENTIFIER_BYTES } from '../../lib/wire/contract.ts'
import { type RunOptions, run, runBytes } from './run.ts'

/**
 * What the service does, apart from how it is asked: for the HTTP server, and for a client in the same process. No I/O.
 *
 * A request is answered whole or refused whole: an answer with gaps ends up in a table as data.
 */

export interface OperationRequest {
  readonly domain: string
  /** Pins a key. */
  readonly key?: string
  /** A null gives a null; undefined stands for what is no text, and is refused. */
  readonly values: readonly (string | null | undefined)[]
}

export interface OperationAnswer {
  /** Same order and length as the request's; null exactly where that has null. */
  readonly values: readonly (string | null)[]
  readonly domain: string
  /** Ids of the keys used, in the order of their first use; on the way forward the one, though there be no values. */
  readonly keys: readonly string[]
}

export interface BytesOperationRequest {
  readonly domain: string
  /** Pins a key. */
  readonly key?: string
  readonly deterministic: boolean
  readonly values: TextBatch
}

export interface BytesOperationAnswer extends Omit<OperationAnswer, 'values'> {
  readonly values: TextBatch
}

export interface OperationOptions extends RunOptions {
  /** Most bytes of the answer as a JSON list. Looked at before the work is done; forward only. @default no limit */
  readonly maxListBytes?: number
}

/**
 * @throws PseudolakeError `keyring/unknown-domain`, `keyring/unknown-key`, `service/too-large`; `identifier/invalid` with `indices`
 * and, for each, its code in `codes`: `identifier/not-unicode` or `identifier/invalid`
 */
export async function pseudonymize(
  keyring: Keyring,
  request: OperationRequest & { readonly deterministic: boolean },
  { maxListBytes = Number.POSITIVE_INFINITY, ...options }: OperationOptions = {},
): Promise<OperationAnswer> {
  const { domain, deterministic, values } = request
  const kernel = keyring.forward(domain, request.key)
  const { texts, places } = textsOf(values)
  if (values.includes(undefined)) refuse(values)
  if (mostListBytes(kernel, values, texts) > maxListBytes) {
    refuse(values)
    const bytes = listBytes(kernel, values)
    if (bytes > maxListBytes) throw tooLarge(bytes)
  }
  try {
    const made = await run(kernel, texts, { direction: 'pseudonymize', deterministic }, options)
    return { values: scattered(made, places, values.length), domain, keys: [kernel.key.id] }
  } catch (error) {
    // The kernel looks at every identifier anyway; only where it refuses one is it asked which, and why.
    if (isPseudolakeError(error, 'identifier/invalid')) refuse(values)
    throw error
  }
}

/** {@link pseudonymize} from bytes to bytes, all of them identifiers. */
export async function pseudonymizeBytes(
  keyring: Keyring,
  { domain, key, deterministic, values }: BytesOperationRequest,
  { maxListBytes = Number.POSITIVE_INFINITY, ...options }: OperationOptions = {},
): Promise<BytesOperationAnswer> {
  const kernel = keyring.forward(domain, key)
  if (maxListBytes < Number.POSITIVE_INFINITY) {
    const bytes = bytesOfList(kernel, values)
    if (bytes > maxListBytes) {
      refuseLong(values)
      throw tooLarge(bytes)
    }
  }
  const made = await runBytes(kernel, values, { direction: 'pseudonymize', deterministic }, options)
  return { values: made, domain, keys: [kernel.key.id] }
}

/**
 * @throws PseudolakeError `keyring/unknown-domain`, `keyring/unknown-key`; `pseudonym/invalid` with `indices` and `codes`
 */
export async function reidentify(
  keyring: Keyring,
  { domain, key, values }: OperationRequest,
  options: OperationOptions = {},
): Promise<OperationAnswer> {
  const keys = keyring.back(domain, key)
  const refused = refusals('pseudonym/invalid')
  const shares = sharesOf(values.length, (i) => {
    const value = values[i]
    if (value === null) return undefined
    const kernel = value === undefined ? undefined : kernelFor(keys, value)
    if (!kernel) refused.add(i)
    return kernel
  })
  let answer: (string | null)[] | undefined
  const used = new Set<string>()
  for (const { kernel, places } of shares) {
    const whole = places.length === values.length
    try {
      const texts = whole ? (values as readonly string[]) : places.map((i) => values[i] as string)
      const kernels = kernel === keys.original ? keys.originals : [kernel]
      const made = await byAny(kernels, texts, used, options)
      if (whole) answer = made as string[]
      else {
        answer ??= new Array<string | null>(values.length).fill(null)
        for (let i = 0; i < made.length; i++) answer[places[i] as number] = made[i] as string
      }
    } catch (error) {
      refused.absorb(error, (i) => places[i] as number)
    }
  }
  refused.throwIfAny(values.length)
  answer ??= values.map(() => null)
  return { values: answer, domain, keys: [...used] }
}

/**
 * By whichever of several keys has made them: all by the first, as nearly always, else each by one after the other. Which one it was, the tag
 * proves. There are several only of texts that name no key.
 * @param used gets the ids
 * @throws PseudolakeError `pseudonym/invalid`
 */
async function byAny(
  kernels: readonly PseudonymKernel[],
  texts: readonly string[],
  used: Set<string>,
  options: RunOptions,
): Promise<readonly string[]> {
  const how = { direction: 'reidentify', deterministic: true } as const
  const [first, ...others] = kernels as [PseudonymKernel, ...PseudonymKernel[]]
  try {
    const made = await run(first, texts, how, options)
    used.add(first.key.id)
    return made
  } catch (error) {
    if (others.length === 0 || !isPseudolakeError(error, 'pseudonym/invalid')) throw error
  }
  const refused = refusals('pseudonym/invalid')
  const answer: string[] = []
  for (const [i, text] of texts.entries()) {
    for (const kernel of kernels) {
      const identifier = identifierOf(kernel, text)
      if (identifier === undefined) continue
      answer[i] = identifier
      used.add(kernel.key.id)
      break
    }
    if (answer[i] === undefined) refused.add(i)
    if (i % 1_000 === 999) await options.pause?.()
  }
  refused.throwIfAny(texts.length)
  return answer
}

/** Undefined where it is none of the key's. */
function identifierOf(kernel: PseudonymKernel, pseudonym: string): string | undefined {
  try {
    return kernel.reidentify([pseudonym])[0]
  } catch (error) {
    if (isPseudolakeError(error, 'pseudonym/invalid')) return undefined
    throw error
  }
}

/** {@link reidentify} from bytes to bytes. Pseudonyms of one key, which they mostly are, become no strings on the way. */
export async function reidentifyBytes(
  keyring: Keyring,
  { domain, key, values }: Omit<BytesOperationRequest, 'deterministic'>,
  { maxListBytes: _, ...options }: OperationOptions = {},
): Promise<BytesOperationAnswer> {
  const keys = keyring.back(domain, key)
  const kernel = kernelForAll(keys, values)
  if (kernel && !(kernel === keys.original && keys.originals.length > 1)) {
    const made = await runBytes(kernel, values, { direction: 'reidentify', deterministic: true }, options)
    return { values: made, domain, keys: [kernel.key.id] }
  }
  const request = { domain, ...(key !== undefined && { key }), values: unpackTexts(values) }
  const answer = await reidentify(keyring, request, options)
  const texts = packTexts(answer.values as readonly string[])
  if (!texts) throw new PseudolakeError('internal/bug', 'an identifier that is not well-formed came back')
  return { ...answer, values: texts }
}

type Values = OperationRequest['values']

/** The texts among the values, and their places where there are others; no copy where there are none. */
function textsOf(values: Values): { texts: readonly string[]; places: readonly number[] | undefined } {
  if (!values.some((value) => typeof value !== 'string'))
    return { texts: values as readonly string[], places: undefined }
  const places: number[] = []
  for (let i = 0; i < values.length; i++) if (typeof values[i] === 'string') places.push(i)
  return { texts: places.map((i) => values[i] as string), places }
}

function scattered(made: readonly string[], places: readonly number[] | undefined, count: number) {
  if (!places) return made
  const answer = new Array<string | null>(count).fill(null)
  for (const [i, place] of places.entries()) answer[place] = made[i] as string
  return answer
}

/** @throws PseudolakeError where a value can't have a pseudonym */
function refuse(values: Values): void {
  const refused = refusals('identifier/invalid')
  for (const [i, value] of values.entries()) {
    if (value === null) continue
    if (value === undefined || Buffer.byteLength(value) > MAX_IDENTIFIER_BYTES) refused.add(i)
    else if (!value.isWellFormed()) refused.add(i, 'identifier/not-unicode')
  }
  refused.throwIfAny(values.length)
}

/** A bound of {@link listBytes} that costs an addition a text: three bytes of UTF-8 for each UTF-16 unit, four characters for three bytes. */
function mostListBytes(kernel: PseudonymKernel, values: Values, texts: readonly string[]): number {
  let units = 0
  for (let i = 0; i < texts.length; i++) units += (texts[i] as string).length
  return '[]'.length + values.length * ('"",'.length + kernel.pseudonymLength(0) + 4) + units * 4
}

function listBytes(kernel: PseudonymKernel, values: Values): number {
  let bytes = values.length > 0 ? '[]'.length - ','.length : '[]'.length
  for (const value of values)
    bytes +=
      typeof value === 'string' ? '"",'.length + kernel.pseudonymLength(Buffer.byteLength(value)) : 'null,'.length
  return bytes
}

/** {@link listBytes} of identifiers in bytes. */
function bytesOfList(kernel: PseudonymKernel, values: TextBatch): number {
  const count = values.offsets.length - 1
  let bytes = count > 0 ? '[]'.length - ','.length : '[]'.length
  let last = -1
  let length = 0
  for (let i = 0; i < count; i++) {
    const size = lengthOf(values, i)
    // Mostly they are of one length.
    if (size !== last) length = '"",'.length + kernel.pseudonymLength(size)
    last = size
    bytes += length
  }
  return bytes
}

/** @throws PseudolakeError where an identifier is too long to have a pseudonym */
function refuseLong(values: TextBatch): void {
  const refused = refusals('identifier/invalid')
  const count = values.offsets.length - 1
  for (let i = 0; i < count; i++) if (lengthOf(values, i) > MAX_IDENTIFIER_BYTES) refused.add(i)
  refused.throwIfAny(count)
}

function tooLarge(bytes: number): PseudolakeError {
  return new PseudolakeError('service/too-large', `the answer would have ${bytes} bytes`, { bytes })
}
