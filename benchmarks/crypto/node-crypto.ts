/**
 * The original format by node:crypto alone, for comparison: HMAC and AES-256-GCM-SIV of OpenSSL, one identifier after the other. Only Node 26
 * and later have that cipher; the results are compared with the kernel's before anything is timed.
 *
 *   NODE_26 benchmarks/crypto/node-crypto.ts
 */
import { createCipheriv, createDecipheriv, createHmac, createSecretKey, getCiphers, randomBytes } from 'node:crypto'
import { wasmKernel } from '../../lib/crypto/wasm.ts'

if (!getCiphers().includes('aes-256-gcm-siv')) throw new Error(`Node ${process.version} has no aes-256-gcm-siv`)
// Its types are those of an older Node.
const CIPHER = 'aes-256-gcm-siv' as 'aes-256-gcm'
const COUNT = 1_000
const POSITION = 7
const RUNS = 200
const secretKey = randomBytes(32)
const nonceKey = randomBytes(8)
const cipherKey = createSecretKey(secretKey)
const macKey = createSecretKey(nonceKey)
const texts = Array.from({ length: COUNT }, (_, i) => i.toString(36).toUpperCase().padStart(17, 'WVWZZZ1JZX'))

const kernel = wasmKernel(
  { format: 'original', id: 'orig', domain: 'default', secretKey, nonceKey, nonceStrPos: POSITION },
  { randomBytes },
)
const made = texts.map(seal)
const expected = kernel.pseudonymize(texts, { deterministic: true })
if (made.some((text, i) => text !== expected[i])) throw new Error('OpenSSL makes other pseudonyms than the kernel')
if (made.map(open).some((text, i) => text !== texts[i])) throw new Error('OpenSSL opens them otherwise')
console.log(
  `Node ${process.version}, OpenSSL ${process.versions.openssl}: forward ${least(() => texts.map(seal))} ns, back ${least(() => made.map(open))} ns`,
)

function seal(text: string): string {
  const nonce = createHmac('sha256', macKey)
    .update(text)
    .digest('hex')
    .slice(POSITION, POSITION + 12)
  const cipher = createCipheriv(CIPHER, cipherKey, nonce)
  const body = cipher.update(text, 'utf8')
  cipher.final()
  return Buffer.concat([Buffer.from(nonce, 'latin1'), body, cipher.getAuthTag()]).toString('base64')
}

function open(text: string): string {
  const bytes = Buffer.from(text, 'base64')
  const cipher = createDecipheriv(CIPHER, cipherKey, bytes.subarray(0, 12))
  cipher.setAuthTag(bytes.subarray(-16))
  const plain = cipher.update(bytes.subarray(12, -16), undefined, 'utf8')
  cipher.final()
  return plain
}

function least(work: () => unknown): number {
  let best = Number.POSITIVE_INFINITY
  for (let run = 0; run < RUNS; run++) {
    const start = process.hrtime.bigint()
    work()
    best = Math.min(best, Number(process.hrtime.bigint() - start) / COUNT)
  }
  return Math.round(best)
}
