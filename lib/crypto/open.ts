import { PseudolakeError } from '../core/errors.ts'
import type { OpenKernel } from './kernel.ts'
import { nobleKernel } from './noble.ts'
import { selfTest } from './self-test.ts'
import { wasmKernel } from './wasm.ts'

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
  const reason = flaw()
  if (reason === undefined) return wasmKernel
  if (choice === 'wasm')
    throw new PseudolakeError('config/invalid', `the kernel wasm can't be used: ${reason}`, {
      key: 'kernel',
      hint: 'Leave the choice out, or name noble.',
    })
  say(`the portable cipher serves, forty times slower: ${reason}`)
  return nobleKernel
}

let tested: { readonly reason: string | undefined } | undefined

/** Why the fast kernel can't be used here; found out once a process. */
function flaw(): string | undefined {
  tested ??= { reason: tryOut() }
  return tested.reason
}

function tryOut(): string | undefined {
  try {
    return selfTest(wasmKernel)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return 'the kernel was not built (npm run build:kernel)'
    if (error instanceof WebAssembly.CompileError) return 'this machine has no WebAssembly SIMD'
    return `it failed its self-test (${error instanceof Error ? error.name : typeof error})`
  }
}
