/**
 * The kernel against two other implementations, over random keys, domains, lengths and scripts: @noble, and OpenSSL by Python's
 * `cryptography`. PSEUDOLAKE_CRYPTO_CASES=1000000 (make judge-crypto) is the long form.
 */
import { spawn, spawnSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { packTexts, type TextBatch, unpackTexts } from '../../lib/core/texts.ts'
import type { PseudonymKernel } from '../../lib/crypto/kernel.ts'
import { nobleKernel } from '../../lib/crypto/noble.ts'
import { wasmKernel } from '../../lib/crypto/wasm.ts'
import { kernelThreads } from '../../service/operations/threads/threads.ts'
import { PYTHON } from '../helpers/interop.ts'
import { randomRounds } from './random-cases.ts'

const CASES = Number(process.env.PSEUDOLAKE_CRYPTO_CASES ?? 100_000)
const SEED = Number(process.env.PSEUDOLAKE_CRYPTO_SEED ?? 20_260_801)
const ORACLE = fileURLToPath(new URL('oracle.py', import.meta.url))
const LONG = 60_000 + CASES

test(`${CASES} random identifiers have the pseudonyms that @noble makes, as strings and as bytes, and come back`, {
  timeout: LONG,
}, () => {
  let compared = 0
  for (const { material, identifiers } of randomRounds(SEED, CASES)) {
    const kernel = wasmKernel(material, { randomBytes })
    const other = nobleKernel(material, { randomBytes })
    const made = kernel.pseudonymize(identifiers, { deterministic: true })
    expectSame(made, other.pseudonymize(identifiers, { deterministic: true }), SEED)
    expectSame(kernel.reidentify(made), identifiers, SEED)
    const bytes = kernel.pseudonymizeBytes(packTexts(identifiers) as TextBatch, { deterministic: true })
    expectSame(unpackTexts(bytes), made, SEED)
    expectSame(unpackTexts(kernel.reidentifyBytes(bytes)), identifiers, SEED)
    compared += made.length
    kernel.dispose()
    other.dispose()
  }
  expect(compared).toBe(CASES)
})

test(`${CASES} random identifiers, deterministic and random, are what OpenSSL makes of them`, {
  timeout: LONG,
}, async (context) => {
  const python = [PYTHON, 'python3'].find((each) => spawnSync(each, [ORACLE, '--probe']).status === 0)
  if (python === undefined) {
    const reason = 'python3 with `cryptography` 42 or later and AES-256-GCM-SIV is not there'
    if (process.env.PSEUDOLAKE_REQUIRE_INTEROP === '1') throw new Error(reason)
    return context.skip(reason)
  }
  const oracle = spawn(python, [ORACLE], { stdio: ['pipe', 'pipe', 'inherit'] })
  try {
    const lines = createInterface({ input: oracle.stdout })[Symbol.asyncIterator]()
    let compared = 0
    for (const { material, identifiers } of randomRounds(SEED + 1, CASES)) {
      const kernel = wasmKernel(material, { randomBytes })
      const made = kernel.pseudonymize(identifiers, { deterministic: true })
      const random = kernel.pseudonymize(identifiers.slice(0, 50), { deterministic: false })
      kernel.dispose()
      const keys = Object.entries(material).map(([k, v]) => [
        k,
        v instanceof Uint8Array ? Buffer.from(v).toString('hex') : v,
      ])
      oracle.stdin.write(`${JSON.stringify({ key: Object.fromEntries(keys), identifiers, random })}\n`)
      const answer = JSON.parse((await lines.next()).value ?? 'null')
      expectSame(made, answer.pseudonyms, SEED + 1)
      // OpenSSL opened them.
      expectSame(answer.opened, identifiers.slice(0, 50), SEED + 1)
      compared += made.length
    }
    expect(compared).toBe(CASES)
  } finally {
    oracle.stdin.end()
    oracle.kill()
  }
})

test(`${CASES} random identifiers are in threads what they are in this one`, { timeout: LONG }, async () => {
  const threads = kernelThreads({ threads: 2, startAfter: 0 })
  let last: PseudonymKernel | undefined
  let compared = 0
  for (const { material, identifiers } of randomRounds(SEED + 2, CASES, 20_000)) {
    const kernel = threads.wrap(wasmKernel)(material, { randomBytes })
    // The last key keeps the threads alive for the next.
    last?.dispose()
    last = kernel
    await threads.start()
    const how = { direction: 'pseudonymize', deterministic: true } as const
    const expected = kernel.pseudonymize(identifiers, { deterministic: true })
    const made = await threads.run(kernel, identifiers, how)
    expectSame(made, expected, SEED + 2)
    expectSame(await threads.run(kernel, made, { ...how, direction: 'reidentify' }), identifiers, SEED + 2)
    const bytes = await threads.runBytes(kernel, packTexts(identifiers) as TextBatch, how)
    expectSame(unpackTexts(bytes), expected, SEED + 2)
    const back = await threads.runBytes(kernel, bytes, { ...how, direction: 'reidentify' })
    expectSame(unpackTexts(back), identifiers, SEED + 2)
    compared += identifiers.length
  }
  expect(compared).toBe(CASES)
  // Four ways of making each, and the other thread has made its share.
  expect(threads.shared).toBeGreaterThan(CASES)
  last?.dispose()
  await threads.close()
})

/** One assertion a round: a matcher for each of a million strings would take longer than the ciphers. */
function expectSame(actual: readonly string[], expected: readonly string[], seed: number): void {
  const at = expected.findIndex((text, i) => text !== actual[i])
  expect({ seed, at, length: actual.length }).toEqual({ seed, at: -1, length: expected.length })
}
