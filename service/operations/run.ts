import { PseudolakeError } from '../../lib/core/errors.ts'
import { countOf, discard, joinTexts, sliceOf, type TextBatch } from '../../lib/core/texts.ts'
import type { PseudonymKernel } from '../../lib/crypto/kernel.ts'
import { refusals } from '../../lib/crypto/refusal.ts'
import type { Direction } from '../../lib/wire/contract.ts'
import { type Remembered, throughCache } from './remembered.ts'
import type { Threads } from './threads/threads.ts'

export interface RunOptions {
  /** Awaited between slices of the work: lets others have the thread, or stops it by throwing. */
  readonly pause?: (() => Promise<void>) | undefined
  /** Take big batches. @default this thread does everything */
  readonly threads?: Threads | undefined
  /** What was asked before, of deterministic pseudonyms and from bytes to bytes. @default everything is made anew */
  readonly remembered?: Remembered | undefined
}

/** Values between two pauses; 50 ms of the slowest kernel. */
const SLICE = 2_000

/**
 * One key's texts of a request, in the same order: in other threads where they serve, else here in slices.
 * @throws PseudolakeError as the kernel does, with indices into `texts`
 */
export async function run(
  kernel: PseudonymKernel,
  texts: readonly string[],
  how: { readonly direction: Direction; readonly deterministic: boolean },
  { pause, threads }: RunOptions,
): Promise<readonly string[]> {
  const { direction, deterministic } = how
  if (threads?.take(kernel, texts.length)) return threads.run(kernel, texts, { ...how, pause })
  const work = (slice: readonly string[]) =>
    direction === 'pseudonymize' ? kernel.pseudonymize(slice, { deterministic }) : kernel.reidentify(slice)
  if (texts.length <= SLICE) {
    const made = checked(work(texts), texts.length)
    await pause?.()
    return made
  }
  const refused = refusals(direction === 'pseudonymize' ? 'identifier/invalid' : 'pseudonym/invalid')
  const result = new Array<string>(texts.length)
  for (let from = 0; from < texts.length; from += SLICE) {
    try {
      const slice = texts.slice(from, from + SLICE)
      const made = checked(work(slice), slice.length)
      for (let i = 0; i < made.length; i++) result[from + i] = made[i] as string
    } catch (error) {
      refused.absorb(error, (i) => from + i)
    }
    await pause?.()
  }
  refused.throwIfAny(texts.length)
  return result
}

/** {@link run} from bytes to bytes. @throws RangeError where the offsets are not what they must be */
export async function runBytes(
  kernel: PseudonymKernel,
  texts: TextBatch,
  how: { readonly direction: Direction; readonly deterministic: boolean },
  { remembered, ...options }: RunOptions,
): Promise<TextBatch> {
  const { direction, deterministic } = how
  const { pause, threads } = options
  const count = countOf(texts)
  const code = direction === 'pseudonymize' ? 'identifier/invalid' : 'pseudonym/invalid'
  const known = deterministic && remembered?.cache.of(remembered.caller, kernel, direction === 'reidentify')
  if (known) return throughCache(known, texts, code, (asked) => runBytes(kernel, asked, how, options))
  if (threads?.take(kernel, count)) return threads.runBytes(kernel, texts, { ...how, pause })
  const refused = refusals(code)
  const parts: TextBatch[] = []
  for (let from = 0; from < count; from += SLICE) {
    try {
      const slice = sliceOf(texts, from, Math.min(count, from + SLICE))
      const made =
        direction === 'pseudonymize'
          ? kernel.pseudonymizeBytes(slice, { deterministic })
          : kernel.reidentifyBytes(slice)
      checkCount(made.offsets.length - 1, slice.offsets.length - 1)
      parts.push(made)
    } catch (error) {
      refused.absorb(error, (i) => from + i)
    }
    await pause?.()
  }
  refused.throwIfAny(count)
  const joined = joinTexts(parts)
  if (parts.length > 1) for (const { bytes } of parts) discard(bytes)
  return joined
}

/** A kernel that dropped one would shift all that follow onto other people. */
function checked(made: string[], count: number): string[] {
  checkCount(made.length, count)
  return made
}

function checkCount(made: number, count: number): void {
  if (made !== count) throw new PseudolakeError('internal/bug', `the kernel answered ${made} of ${count} values`)
}
