import { expect, test } from 'vitest'
import { packTexts, type TextBatch } from '../../lib/core/texts.ts'
import type { KeyMaterial } from '../../lib/crypto/kernel.ts'
import { loadEngine } from '../../lib/crypto/wasm/engine.ts'
import { wasmKernel } from '../../lib/crypto/wasm.ts'

const secret = (n: number, from: number) => Uint8Array.from({ length: n }, (_, i) => (i * 37 + from) & 255)
const materials: KeyMaterial[] = [
  { format: 'v2', id: 'ab12', domain: 'vehicle', aead: secret(32, 11), mac: secret(32, 77) },
  {
    format: 'original',
    id: 'orig',
    domain: 'default',
    secretKey: secret(32, 5),
    nonceKey: secret(8, 3),
    nonceStrPos: 4,
  },
]
const randomBytes = (count: number) => new Uint8Array(count).fill(7)

test.each(materials)('after a call nothing of texts and keys is left in the kernel’s memory ($format)', (material) => {
  const { memory, places } = loadEngine()
  const kernel = wasmKernel(material, { randomBytes })
  const identifiers = ['WVWZZZ1JZXW000001', 'SECRET'.repeat(40), 'SECRET'.repeat(400), 'ü'.repeat(30_000), 'SECRETé']
  for (const deterministic of [true, false]) {
    const made = kernel.pseudonymize(identifiers, { deterministic })
    expect(leftovers()).toEqual([])
    kernel.reidentify(made)
    expect(leftovers()).toEqual([])
    expect(() => kernel.reidentify([...made, (made[1] as string).replace(/.$/, '!')])).toThrow()
    expect(leftovers()).toEqual([])
  }
  expect(() => kernel.pseudonymize(['SECRET', '\ud800'], { deterministic: true })).toThrow()
  expect(leftovers()).toEqual([])
  for (const deterministic of [true, false]) {
    const made = kernel.pseudonymizeBytes(packTexts(identifiers) as TextBatch, { deterministic })
    expect(leftovers()).toEqual([])
    kernel.reidentifyBytes(made)
    expect(leftovers()).toEqual([])
    made.bytes[100] = 0
    expect(() => kernel.reidentifyBytes(made)).toThrow()
    expect(leftovers()).toEqual([])
  }

  function leftovers(): number[] {
    const found: number[] = []
    // Below are the compiler's constants; above, what is public: the key's id and domain.
    for (let at = places.text; at < memory.length; at++) if (memory[at] !== 0) found.push(at)
    const known = [places.aad, places.prefix, places.macPrefix].map((from) => [from, from + 640] as const)
    return found.filter((at) => !known.some(([from, to]) => at >= from && at < to)).slice(0, 5)
  }
})

test('the kernel’s memory does not grow', () => {
  const { memory } = loadEngine()
  const kernel = wasmKernel(materials[0] as KeyMaterial, { randomBytes })
  const texts = Array.from({ length: 20_000 }, (_, i) => `identifier ${i}`)
  kernel.reidentify(kernel.pseudonymize(texts, { deterministic: true }))
  expect(loadEngine().memory).toBe(memory)
  expect(memory.length).toBe(38 * 65_536)
})

test('lengths that don’t fit the memory are a trap, not a write elsewhere', () => {
  const { lengths, seal, open, unspell, nonces, utf8Lengths, derivationBlocks, wipe } = loadEngine()
  lengths.fill(0)
  lengths[0] = 65_537
  for (const call of [() => seal(1, 0, 0, false), () => open(1, 0), () => nonces(1, 0, false, -1)])
    expect(call).toThrow(WebAssembly.RuntimeError)
  lengths.fill(60_000, 0, 20)
  for (const call of [() => seal(20, 0, 0, false), () => open(20, 0), () => unspell(20, 0, false)])
    expect(call).toThrow(WebAssembly.RuntimeError)
  lengths.fill(0)
  for (const call of [
    () => seal(2_049, 0, 0, false),
    () => seal(1, 641, 0, false),
    () => seal(1, 0, 641, false),
    () => open(2_049, 0),
    () => unspell(2_049, 0, false),
    () => nonces(1, 641, false, -1),
    () => nonces(1, 0, false, 21),
    () => derivationBlocks(2_049),
    () => utf8Lengths(1, 5),
    () => wipe(1, 2 ** 31, 0, 0, 0),
  ])
    expect(call).toThrow(WebAssembly.RuntimeError)
})
