import { PseudolakeError } from '../../lib/core/errors.ts'
import type { PseudonymKernel } from '../../lib/crypto/kernel.ts'
import { refusals } from '../../lib/crypto/refusal.ts'
import type { Direction } from '../../lib/wire/contract.ts'
import type { Threads } from './threads/threads.ts'

export interface RunOptions {
  /** Awaited between slices of the work: lets others have the thread, or stops it by throwing. */
  readonly pause?: (() => Promise<void>) | undefined
  /** Take big batches. @default this thread does everything */
  readonly threads?: Threads | undefined
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

/** A kernel that dropped one would shift all that follow onto other people. */
function checked(made: string[], count: number): string[] {
  if (made.length !== count)
    throw new PseudolakeError('internal/bug', `the kernel answered ${made.length} of ${count} values`)
  return made
}
