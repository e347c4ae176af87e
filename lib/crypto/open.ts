import { PseudolakeError } from '../core/errors.ts'
import { fastKernel, slowly } from './fast.ts'
import type { OpenKernel } from './kernel.ts'
import { nobleKernel } from './noble.ts'

/** `wasm`: ours, fast (README.md). `noble`: the audited libraries, forty times slower. */
export type KernelName = (typeof KERNELS)[number]

export const KERNELS = ['wasm', 'noble'] as const

/**
 * Chooses the kernel, and tries it on known answers before it sees an identifier. Where ours can't run here (not built, no WebAssembly
 * SIMD) or answers wrong, the portable one serves, which takes longer and gives the same pseudonyms.
 *
 * @param choice one that was asked for by name is taken or refused, never replaced. @default `wasm`, else `noble`
 * @param say is told, once, why the portable kernel serves
 * @throws PseudolakeError `config/invalid` where `wasm` was asked for and can't run
 */
export function chooseKernel(choice: KernelName | undefined, say: (reason: string) => void): OpenKernel {
  if (choice === 'noble') return nobleKernel
  const fast = fastKernel()
  if ('open' in fast) return fast.open
  const { reason } = fast
  if (choice === 'wasm')
    throw new PseudolakeError('config/invalid', `the kernel wasm can't be used: ${reason}`, {
      key: 'kernel',
      hint: 'Leave the choice out, or name noble.',
    })
  say(slowly(reason))
  return nobleKernel
}
