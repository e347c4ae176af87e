import { spawnSync } from 'node:child_process'
import { cpSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import type { TextBatch } from '../../lib/core/texts.ts'
import type { OpenKernel, PseudonymKernel } from '../../lib/crypto/kernel.ts'
import { nobleKernel } from '../../lib/crypto/noble.ts'
import { chooseKernel } from '../../lib/crypto/open.ts'
import { ANSWERS, digest, KEYS, selfTest, texts } from '../../lib/crypto/self-test.ts'
import { wasmKernel } from '../../lib/crypto/wasm.ts'

const folder = mkdtempSync(join(tmpdir(), 'pseudolake-kernel-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

test('the fast kernel serves where it can, and nothing is said', () => {
  const said: string[] = []
  expect(chooseKernel(undefined, (reason) => said.push(reason))).toBe(wasmKernel)
  expect(chooseKernel('wasm', (reason) => said.push(reason))).toBe(wasmKernel)
  expect(chooseKernel('noble', (reason) => said.push(reason))).toBe(nobleKernel)
  expect(said).toEqual([])
})

test('where the kernel was not built, the portable one serves and says so; asked for by name, it is refused', () => {
  // A copy of the library without the binary.
  cpSync('lib/core', join(folder, 'lib/core'), { recursive: true })
  cpSync('lib/crypto', join(folder, 'lib/crypto'), { recursive: true })
  rmSync(join(folder, 'lib/crypto/wasm/kernel.wasm'))
  symlinkSync(resolve('node_modules'), join(folder, 'node_modules'))
  const script = `
    const { chooseKernel } = await import('./lib/crypto/open.ts')
    const said = []
    const open = chooseKernel(undefined, (reason) => said.push(reason))
    let refused
    try { chooseKernel('wasm', () => undefined) } catch (error) { refused = error.code }
    console.log(JSON.stringify({ open: open.name, said, refused }))`
  const { stdout } = spawnSync(process.execPath, ['--input-type=module', '-e', script], {
    cwd: folder,
    encoding: 'utf8',
  })
  expect(JSON.parse(stdout)).toEqual({
    open: 'nobleKernel',
    said: ['the portable cipher serves, forty times slower: the kernel was not built (npm run build:kernel)'],
    refused: 'config/invalid',
  })
})

test('the self-test’s answers are those of the portable kernel', () => {
  expect(selfTest(nobleKernel)).toBe(undefined)
  expect(selfTest(wasmKernel)).toBe(undefined)
  for (const material of KEYS) {
    const made = nobleKernel(material, { randomBytes: (n) => new Uint8Array(n) }).pseudonymize(texts(), {
      deterministic: true,
    })
    expect(ANSWERS[material.format]).toBe(digest(made))
  }
})

test('the self-test finds a kernel that errs in one text, one way, or takes what was altered', () => {
  const changed =
    (change: (kernel: PseudonymKernel) => Partial<PseudonymKernel>): OpenKernel =>
    (material, options) => {
      const kernel = wasmKernel(material, options)
      return { ...kernel, ...change(kernel) }
    }
  const oneOff = (texts: string[]) => texts.with(-1, `${texts.at(-1)}x`)
  expect(selfTest(changed((k) => ({ pseudonymize: (ids, how) => oneOff(k.pseudonymize(ids, how)) })))).toMatch(/wrong/)
  expect(selfTest(changed((k) => ({ reidentify: (texts) => oneOff(k.reidentify(texts)) })))).toMatch(/wrong way back/)
  const bytesOff = (batch: TextBatch) => ({ ...batch, bytes: batch.bytes.with(5, 0x41) })
  const bytesThere = changed((k) => ({ pseudonymizeBytes: (ids, how) => bytesOff(k.pseudonymizeBytes(ids, how)) }))
  expect(selfTest(bytesThere)).toMatch(/wrong pseudonyms in bytes/)
  const bytesBack = changed((k) => ({ reidentifyBytes: (ids) => bytesOff(k.reidentifyBytes(ids)) }))
  expect(selfTest(bytesBack)).toMatch(/wrong way back in bytes/)
  const lenient = changed((k) => ({
    reidentify(texts) {
      try {
        return k.reidentify(texts)
      } catch {
        return ['']
      }
    },
  }))
  expect(selfTest(lenient)).toMatch(/altered/)
})
