/**
 * Copies or maps one column chunk of more bytes than a number of 32 bits holds, in a process of its own. Bytes that are copied are
 * held against those of the input as they come; a mapped file is small, and is left for other readers.
 */
import { writeFileSync } from 'node:fs'
import { keepHeapSmall } from '../../lib/core/heap.ts'
import { openParquet, pathKey, planRewrite, rewrite, scanTexts } from '../../lib/parquet/index.ts'
import type { ObjectWriter, Storage } from '../../lib/storage/storage.ts'
import { endless } from '../helpers/parquet/endless.ts'

keepHeapSmall()
const [mode = '', gigabytes = '1', output = ''] = process.argv.slice(2)
const source = endless(Number(gigabytes) * 2 ** 30)
const storage = source.storage as Storage
const file = await openParquet(storage, source.object)

let at = 0
let equal = true
const kept: Uint8Array[] = []
const writer: ObjectWriter = {
  get bytes() {
    return at
  },
  async write(bytes) {
    if (mode === 'copy') {
      const end = Math.min(at + bytes.length, source.chunk[1])
      if (at < end && Buffer.compare(bytes.subarray(0, end - at), source.bytes(at, end)) !== 0) equal = false
    } else kept.push(Uint8Array.from(bytes))
    at += bytes.length
  },
  close: async () => ({ ...source.object, bytes: at }),
  abort: async () => undefined,
}

let texts = 0
if (mode === 'scan') {
  const leaf = file.leaves[0]
  if (leaf) for await (const batch of scanTexts(storage, file, leaf)) texts += batch.texts.length
} else {
  const treatment = { kind: 'replace', as: 'vin', perCell: mode === 'random', nullable: false } as const
  const plan = planRewrite(file, mode === 'copy' ? new Map() : new Map([[pathKey(['vin']), treatment]]), {
    fieldIds: () => 1,
  })
  const replace = async (_: unknown, asked: readonly string[]) => asked.map((text) => `p.${text.split('-')[1]}`)
  await rewrite(plan, { storage, file, writer, replace, createdBy: 'pseudolake version 0.0.0 (build test)' })
  if (output) writeFileSync(output, Buffer.concat(kept))
}
const { rows, chunk } = source
const mb = process.resourceUsage().maxRSS / 1024
console.log(JSON.stringify({ rows, texts, chunk, equal, bytes: at, mb, seconds: process.cpuUsage().user / 1e6 }))
