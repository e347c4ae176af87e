import type { KernelOptions, KeyMaterial, PseudonymKernel } from './kernel.ts'
import { wiped } from './refusal.ts'
import { openBytes, sealBytes } from './wasm/bytes.ts'
import { keyed } from './wasm/keyed.ts'
import { openStrings, sealStrings } from './wasm/strings.ts'

/**
 * The fast kernel: our WebAssembly, constant-time, many messages a call (README.md).
 * @throws Error where the kernel's binary was not built, or this machine has no WebAssembly SIMD
 */
export function wasmKernel(material: KeyMaterial, { randomBytes }: KernelOptions): PseudonymKernel {
  const { id, domain, format } = material
  const work = keyed(material)
  let disposed = false

  function open() {
    if (disposed) throw wiped(id)
    return work
  }

  return {
    key: { id, domain, format },
    pseudonymLength: work.format.length,
    identifierLength: work.format.plainLength,
    pseudonymize: (texts, { deterministic, into }) =>
      sealStrings(open(), texts, deterministic ? undefined : randomBytes, into),
    reidentify: (texts, options) => openStrings(open(), texts, options?.into),
    pseudonymizeBytes: (batch, { deterministic, into }) =>
      sealBytes(open(), batch, deterministic ? undefined : randomBytes, into),
    reidentifyBytes: (batch, options) => openBytes(open(), batch, options?.into),
    dispose() {
      if (disposed) return
      disposed = true
      work.dispose()
    },
  }
}
