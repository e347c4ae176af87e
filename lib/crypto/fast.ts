import type { OpenKernel } from './kernel.ts'
import { selfTest } from './self-test.ts'
import { wasmKernel } from './wasm.ts'

let tested: { readonly reason: string | undefined } | undefined

/** The fast kernel, tried on known answers, or why it can't be used here; found out once a process. */
export function fastKernel(): { readonly open: OpenKernel } | { readonly reason: string } {
  tested ??= { reason: tryOut() }
  return tested.reason === undefined ? { open: wasmKernel } : { reason: tested.reason }
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

/** What is logged, once, where the portable kernel takes its place. */
export function slowly(reason: string): string {
  return `the portable cipher serves, forty times slower: ${reason}`
}
