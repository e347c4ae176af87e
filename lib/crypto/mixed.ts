import { countOf, lengthOf, type TextBatch, textAt } from '../core/texts.ts'
import type { PseudonymKernel } from './kernel.ts'
import type { Keyring } from './keyring.ts'
import { type RefusalCode, refusals } from './refusal.ts'
import { headOf, kernelFor, type Share, sharesOf } from './shares.ts'

/**
 * Batches whose items are of several domains and keys: each kernel is called once, and every result comes to its item's place.
 * Item i is of `choices[choiceOf[i]]`.
 */
export interface Choices {
  readonly choices: readonly KeyChoice[]
  readonly choiceOf: ArrayLike<number>
}

export interface KeyChoice {
  readonly domain: string
  /** Forward: pins a key, else it is the domain's primary. Back: the only key that may go back, else the pseudonym says which. */
  readonly key?: string
}

export interface MixedStrings extends Choices {
  readonly values: readonly string[]
}

export interface MixedBytes extends Choices {
  readonly values: TextBatch
}

/**
 * @throws PseudolakeError `keyring/unknown-domain`, `keyring/unknown-key`, `identifier/invalid` with `index`, `indices` and `count` of the
 * whole batch; RangeError where an item has no choice
 */
export function pseudonymizeMixed(
  keyring: Keyring,
  batch: MixedStrings,
  options: { readonly deterministic: boolean },
): string[] {
  const shares = forwardShares(keyring, batch, batch.values.length)
  return overStrings(batch.values, shares, 'identifier/invalid', [], (kernel, texts) =>
    kernel.pseudonymize(texts, options),
  )
}

/** @throws the same, with `pseudonym/invalid` */
export function reidentifyMixed(keyring: Keyring, batch: MixedStrings): string[] {
  const { values } = batch
  const { shares, nobodys } = backShares(keyring, batch, values.length, (i) => values[i] as string)
  return overStrings(values, shares, 'pseudonym/invalid', nobodys, (kernel, texts) => kernel.reidentify(texts))
}

/** {@link pseudonymizeMixed} from bytes to bytes. */
export function pseudonymizeMixedBytes(
  keyring: Keyring,
  batch: MixedBytes,
  options: { readonly deterministic: boolean },
): TextBatch {
  const shares = forwardShares(keyring, batch, countOf(batch.values))
  return overBytes(batch.values, shares, 'identifier/invalid', [], (kernel, texts) =>
    kernel.pseudonymizeBytes(texts, options),
  )
}

/** {@link reidentifyMixed} from bytes to bytes. */
export function reidentifyMixedBytes(keyring: Keyring, batch: MixedBytes): TextBatch {
  const { values } = batch
  const { shares, nobodys } = backShares(keyring, batch, countOf(values), (i) => headOf(values, i))
  return overBytes(values, shares, 'pseudonym/invalid', nobodys, (kernel, texts) => kernel.reidentifyBytes(texts))
}

function forwardShares(keyring: Keyring, { choices, choiceOf }: Choices, count: number): Share[] {
  const kernels = choices.map(({ domain, key }) => keyring.forward(domain, key))
  return sharesOf(count, (i) => chosen(kernels, choiceOf, i))
}

function backShares(keyring: Keyring, { choices, choiceOf }: Choices, count: number, headAt: (i: number) => string) {
  const keys = choices.map(({ domain, key }) => keyring.back(domain, key))
  const nobodys: number[] = []
  const shares = sharesOf(count, (i) => {
    const kernel = kernelFor(chosen(keys, choiceOf, i), headAt(i))
    if (!kernel) nobodys.push(i)
    return kernel
  })
  return { shares, nobodys }
}

function chosen<T>(of: readonly T[], choiceOf: ArrayLike<number>, i: number): T {
  const one = of[choiceOf[i] ?? -1]
  if (one === undefined) throw new RangeError(`choiceOf: expected one of ${of.length} choices at index ${i}`)
  return one
}

function overStrings(
  values: readonly string[],
  shares: readonly Share[],
  code: RefusalCode,
  nobodys: readonly number[],
  work: (kernel: PseudonymKernel, texts: readonly string[]) => string[],
): string[] {
  const refused = refusals(code)
  for (const i of nobodys) refused.add(i)
  const result = new Array<string>(values.length)
  for (const { kernel, places } of shares) {
    const whole = places.length === values.length
    try {
      const made = work(kernel, whole ? values : places.map((i) => values[i] as string))
      if (whole) return made
      for (const [i, place] of places.entries()) result[place] = made[i] as string
    } catch (error) {
      refused.absorb(error, (i) => places[i] as number)
    }
  }
  refused.throwIfAny(values.length)
  return result
}

function overBytes(
  values: TextBatch,
  shares: readonly Share[],
  code: RefusalCode,
  nobodys: readonly number[],
  work: (kernel: PseudonymKernel, texts: TextBatch) => TextBatch,
): TextBatch {
  const count = values.offsets.length - 1
  const refused = refusals(code)
  for (const i of nobodys) refused.add(i)
  const parts: { readonly places: readonly number[]; readonly made: TextBatch }[] = []
  const offsets = new Uint32Array(count + 1)
  for (const { kernel, places } of shares) {
    const whole = places.length === count
    try {
      const made = work(kernel, whole ? values : picked(values, places))
      if (whole) return made
      parts.push({ places, made })
      for (const [i, place] of places.entries()) offsets[place + 1] = lengthOf(made, i)
    } catch (error) {
      refused.absorb(error, (i) => places[i] as number)
    }
  }
  refused.throwIfAny(count)
  for (let i = 0; i < count; i++) offsets[i + 1] = (offsets[i + 1] as number) + (offsets[i] as number)
  const bytes = new Uint8Array(offsets[count] as number)
  for (const { places, made } of parts)
    for (const [i, place] of places.entries()) bytes.set(textAt(made, i), offsets[place])
  return { bytes, offsets }
}

function picked(values: TextBatch, places: readonly number[]): TextBatch {
  const offsets = new Uint32Array(places.length + 1)
  for (const [i, place] of places.entries()) offsets[i + 1] = (offsets[i] as number) + lengthOf(values, place)
  const bytes = new Uint8Array(offsets[places.length] as number)
  for (const [i, place] of places.entries()) bytes.set(textAt(values, place), offsets[i])
  return { bytes, offsets }
}
